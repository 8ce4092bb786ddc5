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

// mountDisks mounts each known disk on stage/<role>, all at the same time.
func mountDisks(serials Serials, log *step.Log) error {
	if err := serials.check(); err != nil {
		return err
	}
	disks, err := virtio.Disks()
	if err != nil {
		return err
	}
	present, found := map[string]virtio.Disk{}, []string{}
	for _, disk := range disks {
		present[disk.Serial] = disk
		found = append(found, fmt.Sprintf("%q", disk.Serial))
	}
	wanted := serials.disks()
	var group sync.WaitGroup
	errs := make([]error, len(wanted))
	for i, disk := range wanted {
		device, ok := present[disk.serial]
		if !ok {
			errs[i] = fmt.Errorf("no disk with the serial %q for the %s disk (found: %v)", disk.serial, disk.role, found)
			continue
		}
		group.Go(func() {
			errs[i] = log.Run("mount-"+disk.role, func() error { return mountDisk(device, disk) })
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

func mountDisk(device virtio.Disk, disk disk) error {
	if err := device.Await(); err != nil {
		return err
	}
	target := stage + "/" + disk.role
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("/dev/"+device.Name, target, "ext4", disk.flags, disk.data); err != nil {
		return fmt.Errorf("mount /dev/%s (serial %q) as ext4: %w", device.Name, disk.serial, err)
	}
	if disk.flags&unix.MS_RDONLY != 0 {
		return nil
	}
	// The guest is as usable as before when it does not grow.
	if err := growOnMount("/dev/"+device.Name, target); err != nil {
		fmt.Fprintf(os.Stderr, "banger-agent: grow the %s disk: %v\n", disk.role, err)
	}
	return nil
}
