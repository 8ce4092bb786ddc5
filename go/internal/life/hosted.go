package life

import (
	"context"
	"errors"
	"os"
	"time"

	"banger.dev/banger/internal/network"
	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/step"
)

// Hosted is the Machine of tests: an ordinary process that leaves the machine around it alone.
type Hosted struct{}

// Assemble implements Machine.
func (Hosted) Assemble(*AssemblePlan, *step.Log) error {
	return errors.New("a hosted agent has no disks")
}

// Configure implements Machine. A hosted guest runs from its start.
func (Hosted) Configure(*Plan, *step.Log) error {
	return errors.New("a hosted agent is not configured")
}

// Sync implements Machine.
func (Hosted) Sync() error { return nil }

// Grow implements Machine.
func (Hosted) Grow(context.Context, uint64, uint64) error {
	return errors.New("a hosted agent has no disks")
}

// SetNetwork implements Machine.
func (Hosted) SetNetwork(*network.Interface, []string) error {
	return errors.New("a hosted agent has the network of its host")
}

// Freeze implements Machine. Only the phase changes: the machine around it goes on.
func (Hosted) Freeze() (int, error) { return 0, nil }

// Rehearse implements Machine.
func (Hosted) Rehearse() {}

// Prepare implements Machine.
func (Hosted) Prepare(*ThawPlan, *step.Log) error { return nil }

// Thaw implements Machine.
func (Hosted) Thaw() error { return nil }

// Kill implements Machine.
func (Hosted) Kill() {}

// Stop implements Machine.
func (Hosted) Stop(time.Duration) {}

// End implements Machine.
func (Hosted) End() { os.Exit(0) }

// Disks implements Machine.
func (Hosted) Disks() []rootfs.Usage { return (*rootfs.Root)(nil).Disks() }
