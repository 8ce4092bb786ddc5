package boot

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// ModulesList is where the initramfs says which modules to load: lines "<phase> <path>", in load order.
const ModulesList = "/lib/modules/banger/modules.list"

// Modules are the kernel modules of an initramfs, in load order.
type Modules struct {
	// Channel holds the bus and the console: with them the control channel appears.
	Channel []string
	// Device holds the drivers of disks, networks and file systems. They are loaded with the bus's autoprobe off.
	Device []string
}

// ParseModules reads the text of a modules list. Empty lines and lines that begin with # mean nothing.
func ParseModules(text string) (Modules, error) {
	var modules Modules
	for number, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		phase, file, found := strings.Cut(line, " ")
		file = strings.TrimSpace(file)
		if !found || !path.IsAbs(file) {
			return Modules{}, fmt.Errorf("line %d: want \"<phase> <absolute path>\", got %q", number+1, line)
		}
		switch phase {
		case "channel":
			modules.Channel = append(modules.Channel, file)
		case "device":
			modules.Device = append(modules.Device, file)
		default:
			return Modules{}, fmt.Errorf("line %d: unknown phase %q", number+1, phase)
		}
	}
	return modules, nil
}

// ReadModules reads ModulesList. A kernel with everything built in comes with no list at all.
func ReadModules() (Modules, error) {
	text, err := os.ReadFile(ModulesList)
	if errors.Is(err, os.ErrNotExist) {
		return Modules{}, nil
	}
	if err != nil {
		return Modules{}, err
	}
	modules, err := ParseModules(string(text))
	if err != nil {
		return Modules{}, fmt.Errorf("%s: %w", ModulesList, err)
	}
	return modules, nil
}

// LoadModules loads uncompressed modules in order, and deletes each file: the initramfs is memory. A module that is
// loaded already is no error.
func LoadModules(paths []string) error {
	for _, file := range paths {
		if err := loadModule(file); err != nil {
			return fmt.Errorf("load module %s: %w", file, err)
		}
		_ = os.Remove(file)
	}
	return nil
}

func loadModule(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	switch err := unix.FinitModule(fd, "", 0); err {
	case nil, unix.EEXIST:
		return nil
	case unix.ENOENT:
		return errors.New("a symbol is missing: a module it needs is not loaded before it")
	default:
		return err
	}
}

// HoldDevices switches the virtio bus's automatic driver binding off, so that drivers loaded later bind nothing.
func HoldDevices() error {
	err := os.WriteFile("/sys/bus/virtio/drivers_autoprobe", []byte("0"), 0)
	if err != nil {
		return fmt.Errorf("switch off automatic binding of virtio devices: %w", err)
	}
	return nil
}
