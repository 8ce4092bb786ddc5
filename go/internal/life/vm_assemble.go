package life

import (
	"errors"
	"fmt"
	"time"

	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/step"
	"golang.org/x/sys/unix"
)

// A program of the image that does not end must not keep a template from being made.
const warmUpLimit = 5 * time.Second

// Assemble implements Machine.
func (vm *VM) Assemble(plan *AssemblePlan, log *step.Log) error {
	if vm.root.Load() != nil {
		return errors.New("the root is assembled already")
	}
	if err := log.Run("entropy", func() error { return identity.AddEntropy(plan.Entropy) }); err != nil {
		return err
	}
	if err := log.Run("clock", func() error { return identity.SetClock(plan.WallClockNanos) }); err != nil {
		return err
	}
	if err := vm.assembleRoot(plan.Serials, log); err != nil {
		return err
	}
	if err := vm.attachVolumes(log); err != nil {
		return err
	}
	makeDirectories(plan.Directories)
	if err := log.Run("scratch", vm.root.Load().PlaceScratch); err != nil {
		return err
	}
	if err := log.Run("names", func() error { return identity.ReserveNames(etc, varLib) }); err != nil {
		return err
	}
	if err := log.Run("warm-up", warmUp); err != nil {
		return err
	}
	if err := log.Run("sync", vm.Sync); err != nil {
		return err
	}
	vm.assembled = plan.Serials
	return nil
}

func (vm *VM) assembleRoot(serials rootfs.Serials, log *step.Log) error {
	root, err := rootfs.Assemble(serials, log)
	vm.root.Store(root)
	if err != nil {
		return err
	}
	return log.Run("enter-root", root.Enter)
}

func (vm *VM) attachVolumes(log *step.Log) error {
	return log.Run("volumes", vm.root.Load().AttachVolumes)
}

// warmUp leaves in memory what a first command reads from the image. Nothing of the image may run when a guest is captured: in the
// machines that come of it, it would run before they are somebody.
func warmUp() error {
	late := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, argv := range [][]string{{"true"}, {"sh", "-c", ":"}} {
			select {
			case <-late:
				return
			default:
				runQuietly(guest.Config{}, argv...)
			}
		}
	}()
	select {
	case <-ended:
	case <-time.After(warmUpLimit):
		close(late)
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	select {
	case <-ended:
	case <-time.After(killWaitLimit):
		return fmt.Errorf("programs of the image do not end")
	}
	// What was started as the others were killed.
	_ = unix.Kill(-1, unix.SIGKILL)
	if !noneLeft(killWaitLimit) {
		return fmt.Errorf("processes of the image do not end")
	}
	return nil
}
