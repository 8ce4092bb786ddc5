package life

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"banger.dev/banger/internal/boot"
	"banger.dev/banger/internal/collector"
	"banger.dev/banger/internal/freezer"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/network"
	"banger.dev/banger/internal/process"
	"banger.dev/banger/internal/realm"
	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/step"
)

const (
	etc              = "/etc"
	varLib           = "/var/lib"
	runtimeDirectory = "/run"
)

// VM is the Machine of a microVM whose PID 1 is this program.
type VM struct {
	// StartSSH makes the SSH service ready. It has no listener of its own.
	StartSSH func(hostKeyPEM []byte, authorizedKeys []string) error
	// InitEnded is called when the image's init, if one was asked for, has ended: by the guest's own poweroff, or by Stop.
	InitEnded func()

	root atomic.Pointer[rootfs.Root]
	// assembled is of what disks the root was put together before Configure; zero when it was not. It is written by Assemble only, which
	// is over before Configure can begin.
	assembled rootfs.Serials
	// init is nil when this program is the guest's only init.
	init atomic.Pointer[realm.Realm]
	// freezer is made by the first Freeze.
	freezer *freezer.Freezer
}

// Configure carries the plan out: what does not depend on one another runs at the same time.
func (vm *VM) Configure(plan *Plan, log *step.Log) error {
	// Before anything draws a random number or writes a time stamp.
	if err := log.Run("entropy", func() error { return identity.AddEntropy(plan.Entropy) }); err != nil {
		return err
	}
	if err := log.Run("clock", func() error { return identity.SetClock(plan.WallClockNanos) }); err != nil {
		return err
	}
	defer collector.Release()
	if err := vm.bringUp(plan, log); err != nil || plan.Init == "" {
		return err
	}
	// It finds everything in place.
	return log.Run("init", func() error { return vm.startInit(plan.Init) })
}

func (vm *VM) bringUp(plan *Plan, log *step.Log) error {
	return together(
		func() error { return vm.enterRoot(plan, log) },
		func() error {
			if plan.Network == nil {
				return nil
			}
			return log.Run("network", func() error { return network.Configure(*plan.Network) })
		},
		func() error {
			if len(plan.HostKeyPEM) == 0 {
				return nil
			}
			return log.Run("ssh", func() error { return vm.StartSSH(plan.HostKeyPEM, plan.AuthorizedKeys) })
		},
	)
}

func (vm *VM) enterRoot(plan *Plan, log *step.Log) error {
	there := vm.assembled != rootfs.Serials{}
	if there && vm.assembled != plan.Serials {
		return fmt.Errorf("disks: the root was assembled of %v, not of %v", vm.assembled, plan.Serials)
	}
	if !there {
		if err := vm.assembleRoot(plan.Serials, log); err != nil {
			return err
		}
	}
	if plan.WarmUp {
		go startFirstProcess(plan.Guest)
	}
	return together(
		func() error {
			if !there {
				if err := vm.attachVolumes(log); err != nil {
					return err
				}
			}
			introduceToGit(plan.Git)
			makeDirectories(plan.Directories)
			return nil
		},
		func() error {
			return log.Run("names", func() error {
				return setNames(names{plan.Guest.VMID, plan.Guest.Hostname, plan.Guest.BootID, plan.NameServers})
			})
		},
	)
}

// makeDirectories goes on when one cannot be made: a machine is of use without it, and commands say what they miss.
func makeDirectories(directories []string) {
	for _, directory := range directories {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			fmt.Fprintf(os.Stderr, "banger-agent: a directory of the image: %v\n", err)
		}
	}
}

// startFirstProcess runs "true" and asks for nothing. The first process of a guest takes many times as long as later ones:
// what it needs is read from the disk and, where the machine is emulated, translated. Here it happens while the other
// processor attaches volumes, and the user's first command finds it done.
func startFirstProcess(config guest.Config) { runQuietly(config, "true") }

func runQuietly(config guest.Config, argv ...string) {
	running, err := process.Start(config, process.Command{Argv: argv, Cwd: "/"})
	if err != nil {
		return // The image has no such program.
	}
	defer running.Close()
	discard := func([]byte) error { return nil }
	running.Output(discard, discard)
}

// introduceToGit tells git who works here. A guest without that is as usable as one with it.
func introduceToGit(user identity.GitUser) {
	if err := identity.AddGitUser("/root", user); err != nil {
		fmt.Fprintf(os.Stderr, "banger-agent: git identity: %v\n", err)
	}
}

// names is what a guest calls itself, and whom it asks for others.
type names struct {
	vmID, hostname, bootID string
	servers                []string
}

func setNames(wanted names) error {
	if err := identity.SetBootID(runtimeDirectory, wanted.bootID); err != nil {
		return err
	}
	if err := identity.SetHostname(etc, wanted.hostname); err != nil {
		return err
	}
	if err := identity.SetMachineID(etc, varLib, wanted.vmID); err != nil {
		return err
	}
	if len(wanted.servers) == 0 {
		return nil
	}
	return identity.SetNameServers(etc, wanted.servers)
}

// together runs the functions at the same time, waits for all, and returns their errors.
func together(functions ...func() error) error {
	errs := make([]error, len(functions))
	var group sync.WaitGroup
	for i, function := range functions {
		group.Go(func() { errs[i] = function() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// A disk that hangs must not keep the machine on.
const closeLimit = 10 * time.Second

// Stop implements Machine.
func (vm *VM) Stop(grace time.Duration) {
	vm.stopInit(grace)
	endProcesses(grace)
	root := vm.root.Load()
	if root == nil {
		return
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		if err := root.Close(); err != nil {
			fmt.Fprintf(os.Stderr, "banger-agent: %v\n", err)
		}
	}()
	select {
	case <-closed:
	case <-time.After(closeLimit):
		fmt.Fprintf(os.Stderr, "banger-agent: the disks did not become clean within %s\n", closeLimit)
	}
}

// End implements Machine.
func (vm *VM) End() {
	err := boot.PowerOff()
	fmt.Fprintf(os.Stderr, "banger-agent: power off: %v\n", err)
	select {}
}

// Grow implements Machine.
func (vm *VM) Grow(ctx context.Context, overlayBytes, workBytes uint64) error {
	return vm.root.Load().Grow(ctx, overlayBytes, workBytes)
}

// Disks implements Machine.
func (vm *VM) Disks() []rootfs.Usage { return vm.root.Load().Disks() }
