// Package virtio binds the devices of the virtio bus to their drivers: disks before the host is awaited, the network when the guest is
// told to use it.
package virtio

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const busDirectory = "/sys/bus/virtio"

// Kind is a device type number of the virtio standard, as sysfs writes it.
type Kind string

const (
	Net   Kind = "0x0001"
	Block Kind = "0x0002"
)

// Devices lists the names ("virtio3") of the devices of one kind, bound or not. The machine's devices are looked for at the first
// call: none comes or goes while it runs, and a machine that is restored has the same ones.
func Devices(kind Kind) ([]string, error) {
	kinds, err := survey()
	return kinds[kind], err
}

var survey = sync.OnceValues(func() (map[Kind][]string, error) {
	entries, err := os.ReadDir(busDirectory + "/devices")
	if err != nil {
		return nil, err
	}
	kinds := map[Kind][]string{}
	for _, entry := range entries {
		label, err := os.ReadFile(devicePath(entry.Name(), "device"))
		if err != nil {
			return nil, err
		}
		kind := Kind(strings.TrimSpace(string(label)))
		kinds[kind] = append(kinds[kind], entry.Name())
	}
	return kinds, nil
})

// Bind attaches a device to its driver now, so that the driver reads the device as it is now. A device that a built-in
// driver took at boot is detached first.
func Bind(name string) error {
	driver, err := os.Readlink(devicePath(name, "driver"))
	if err == nil {
		driver = busDirectory + "/drivers/" + filepath.Base(driver)
		if err := writeControl(driver+"/unbind", name); err != nil {
			return err
		}
		return writeControl(driver+"/bind", name)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := writeControl(busDirectory+"/drivers_probe", name); err != nil {
		return err
	}
	// The kernel takes the request as done although no driver wanted the device or its driver failed.
	if _, err := os.Lstat(devicePath(name, "driver")); err != nil {
		return fmt.Errorf("no driver took device %s", name)
	}
	return nil
}

// IsBound says whether a driver has taken a device.
func IsBound(name string) bool {
	_, err := os.Lstat(devicePath(name, "driver"))
	return err == nil
}

// Child names what a bound device became: Child("virtio2", "net") is "eth0".
func Child(name, class string) (string, error) {
	entries, err := os.ReadDir(devicePath(name, class))
	if err != nil {
		return "", err
	}
	if len(entries) == 0 {
		return "", fmt.Errorf("device %s has no %s", name, class)
	}
	return entries[0].Name(), nil
}

func devicePath(name, attribute string) string {
	return busDirectory + "/devices/" + name + "/" + attribute
}

func writeControl(path, value string) error {
	return os.WriteFile(path, []byte(value), 0)
}
