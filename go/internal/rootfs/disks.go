package rootfs

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"banger.dev/banger/internal/step"
	"banger.dev/banger/internal/virtio"
	"golang.org/x/sys/unix"
)

// Serials says which disk is which.
type Serials struct {
	Base, Overlay string
	// Work is empty when /root lies on the overlay.
	Work string
}

type disk struct {
	role, serial string
	flags        uintptr
	data         string
}

func (s Serials) disks() []disk {
	disks := []disk{
		// The base is clean and shared by machines: without its journal it mounts faster.
		{"base", s.Base, unix.MS_RDONLY | unix.MS_NOATIME, "noload"},
		{"overlay", s.Overlay, unix.MS_NOATIME, "noinit_itable"},
	}
	if s.Work != "" {
		disks = append(disks, disk{"work", s.Work, unix.MS_NOATIME, "noinit_itable"})
	}
	return disks
}

func (s Serials) check() error {
	if s.Base == "" || s.Overlay == "" {
		return errors.New("the serials of the base and the overlay disk must be given")
	}
	if s.Base == s.Overlay || s.Work == s.Base || s.Work == s.Overlay {
		return errors.New("the serials of the disks must differ")
	}
	return nil
}

// mountDisks binds all disks at the same time, because a serial can be read only from a bound disk, and mounts each
// known one on stage/<role>.
func mountDisks(serials Serials, log *step.Log) error {
	if err := serials.check(); err != nil {
		return err
	}
	devices, err := virtio.Devices(virtio.Block)
	if err != nil {
		return err
	}
	var (
		group   sync.WaitGroup
		mu      sync.Mutex
		mounted = map[string]bool{}
		found   []string
		failure error
	)
	for _, device := range devices {
		group.Go(func() {
			serial, role, err := mountDisk(device, serials.disks(), log)
			mu.Lock()
			defer mu.Unlock()
			failure = errors.Join(failure, err)
			found = append(found, fmt.Sprintf("%q", serial))
			mounted[role] = true
		})
	}
	group.Wait()
	if failure != nil {
		return failure
	}
	for _, disk := range serials.disks() {
		if !mounted[disk.role] {
			return fmt.Errorf("no disk with the serial %q for the %s disk (found: %v)", disk.serial, disk.role, found)
		}
	}
	return nil
}

// mountDisk binds one disk and mounts it when its serial has a role; a disk without one stays as it is.
func mountDisk(device string, disks []disk, log *step.Log) (serial, role string, err error) {
	var name string
	err = log.Run("bind-"+device, func() error {
		if err := virtio.Bind(device); err != nil {
			return err
		}
		name, err = virtio.Disk(device)
		if err != nil {
			return err
		}
		serial, err = virtio.BlockSerial(name)
		return err
	})
	if err != nil {
		return serial, "", err
	}
	for _, disk := range disks {
		if disk.serial != serial {
			continue
		}
		return serial, disk.role, log.Run("mount-"+disk.role, func() error {
			target := stage + "/" + disk.role
			if err := os.MkdirAll(target, 0o755); err != nil {
				return err
			}
			if err := unix.Mount("/dev/"+name, target, "ext4", disk.flags, disk.data); err != nil {
				return fmt.Errorf("mount /dev/%s (serial %q) as ext4: %w", name, serial, err)
			}
			if disk.flags&unix.MS_RDONLY != 0 {
				return nil
			}
			// The guest is as usable as before when it does not grow.
			if err := growOnMount("/dev/"+name, target); err != nil {
				fmt.Fprintf(os.Stderr, "banger-agent: grow the %s disk: %v\n", disk.role, err)
			}
			return nil
		})
	}
	return serial, "", nil
}
