package life

import (
	"errors"
	"fmt"
	"time"

	"banger.dev/banger/internal/cgroup"
	"banger.dev/banger/internal/collector"
	"banger.dev/banger/internal/freezer"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/network"
	"banger.dev/banger/internal/step"
	"golang.org/x/sys/unix"
)

const (
	// A slow disk, and as much to write as the memory can hold.
	syncLimit   = 100 * time.Second
	freezeLimit = 5 * time.Second
	// Files of the guest may lie on a file system whose server is frozen.
	identityLimit = 10 * time.Second
	killWaitLimit = 5 * time.Second
)

// Sync implements Machine.
func (vm *VM) Sync() error {
	root := vm.root.Load()
	return within(syncLimit, "sync", func() error { return root.Sync() })
}

// Freeze implements Machine.
func (vm *VM) Freeze() (int, error) {
	system := cgroup.System()
	if system == nil {
		return 0, errors.New("the guest's kernel cannot freeze processes: it has no cgroup2")
	}
	if vm.freezer == nil {
		vm.freezer = freezer.New(system, freezer.SparePID1)
	}
	// A user of the guest may have moved the agent.
	if err := system.EnterTop(); err != nil {
		return 0, err
	}
	collector.Hold()
	if err := vm.freezer.Freeze(freezeLimit); err != nil {
		collector.Release()
		return 0, err
	}
	return vm.freezer.Stopped(), nil
}

// Rehearse implements Machine.
func (vm *VM) Rehearse() {
	identity.RehearseBootID()
	if root := vm.root.Load(); root != nil {
		root.RehearseWrite()
	}
}

// Prepare implements Machine.
func (vm *VM) Prepare(plan *ThawPlan, log *step.Log) error {
	if err := log.Run("clock", func() error { return identity.SetClock(plan.WallClockNanos) }); err != nil {
		return err
	}
	if err := log.Run("entropy", func() error { return identity.AddEntropy(plan.Entropy) }); err != nil {
		return err
	}
	who := plan.Identity
	if who == nil {
		return nil
	}
	if err := log.Run("ssh", func() error { return vm.StartSSH(who.HostKeyPEM, who.AuthorizedKeys) }); err != nil {
		return err
	}
	if who.Network != nil {
		if err := log.Run("network", func() error { return network.Configure(*who.Network) }); err != nil {
			return err
		}
	}
	return log.Run("names", func() error {
		return within(identityLimit, "names", func() error {
			return setNames(names{who.VMID, who.Hostname, who.BootID, who.NameServers})
		})
	})
}

// Thaw implements Machine.
func (vm *VM) Thaw() error {
	defer collector.Release()
	return vm.freezer.Thaw()
}

// Kill implements Machine.
func (vm *VM) Kill() {
	_ = unix.Kill(-1, unix.SIGKILL)
	noneLeft(killWaitLimit)
}

// within bounds work that cannot be cancelled; after the limit it is left to itself.
func within(limit time.Duration, what string, work func() error) error {
	done := make(chan error, 1)
	go func() { done <- work() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		return fmt.Errorf("%s: not done after %s", what, limit)
	}
}
