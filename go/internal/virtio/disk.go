package virtio

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Disk is a block device that its driver has taken.
type Disk struct {
	// Name is the disk's in /dev and /sys/block ("vda").
	Name string
	// Serial says which disk it is.
	Serial string
	// placeholder: it had placeholderSectors when it was bound.
	placeholder bool
}

const (
	// placeholderSectors is the size, in units of 512 bytes, of the disks of a machine whose memory becomes a template. No disk
	// of a VM has it: theirs are whole pages.
	placeholderSectors = "131073"
	realDiskLimit      = 10 * time.Second
)

// Disks binds all block devices, one after the other, so that their names are the same in each guest, and asks each for its serial.
// It does so at the first call: none comes or goes while the machine runs, and a machine that is restored has the same ones with other
// content, of which the kernel keeps nothing while nobody has them open.
var Disks = sync.OnceValues(func() ([]Disk, error) {
	devices, err := Devices(Block)
	if err != nil {
		return nil, err
	}
	disks := make([]Disk, len(devices))
	for i, device := range devices {
		if disks[i], err = bindDisk(device); err != nil {
			return nil, err
		}
	}
	return disks, nil
})

func bindDisk(device string) (Disk, error) {
	if !IsBound(device) {
		if err := Bind(device); err != nil {
			return Disk{}, err
		}
	}
	name, err := diskOf(device)
	if err != nil {
		return Disk{}, err
	}
	serial, err := attribute(name, "serial")
	if err != nil {
		return Disk{}, err
	}
	sectors, err := attribute(name, "size")
	return Disk{Name: name, Serial: serial, placeholder: sectors == placeholderSectors}, err
}

// Await returns when the disk is the VM's own. A machine that is restored from a template has its disks from the first
// instruction on; that its driver has seen their sizes may take some more.
func (d Disk) Await() error {
	if !d.placeholder {
		return nil
	}
	for limit := time.Now().Add(realDiskLimit); ; time.Sleep(time.Millisecond) {
		sectors, err := attribute(d.Name, "size")
		if err != nil || sectors != placeholderSectors {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("disk %q (serial %q) is still that of a template after %s", d.Name, d.Serial, realDiskLimit)
		}
	}
}

// diskOf names the disk that a bound block device became: "vda" of "virtio2".
func diskOf(device string) (string, error) {
	for letter := 'a'; letter <= 'z'; letter++ {
		disk := "vd" + string(letter)
		// Named by several at a time, so there may be gaps.
		path, err := os.Readlink("/sys/block/" + disk)
		if err == nil && strings.Contains(path, "/"+device+"/") {
			return disk, nil
		}
	}
	return "", fmt.Errorf("device %s has no disk", device)
}

func attribute(disk, name string) (string, error) {
	text, err := os.ReadFile("/sys/block/" + disk + "/" + name)
	return strings.TrimSpace(string(text)), err
}
