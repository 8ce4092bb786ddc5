package life

import (
	"errors"
	"os"
	"time"

	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/step"
)

// Hosted is the Machine of tests: an ordinary process that leaves the machine around it alone.
type Hosted struct{}

// Configure implements Machine. A hosted guest runs from its start.
func (Hosted) Configure(*Plan, *step.Log) error {
	return errors.New("a hosted agent is not configured")
}

// Stop implements Machine.
func (Hosted) Stop(time.Duration) {}

// End implements Machine.
func (Hosted) End() { os.Exit(0) }

// Disks implements Machine.
func (Hosted) Disks() []rootfs.Usage { return (*rootfs.Root)(nil).Disks() }
