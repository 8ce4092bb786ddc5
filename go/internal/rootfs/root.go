// Package rootfs makes the guest's root of its disks and enters it: a read-only base, the VM's overlay above it, the
// work disk on /root. It also leaves the disks clean at the end.
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"banger.dev/banger/internal/step"
	"golang.org/x/sys/unix"
)

// stage is where disks are mounted in the initramfs; after Enter nothing in the guest reaches it by name.
const stage = "/.banger"

const newRoot = stage + "/root"

// Directories that cannot lie on overlayfs, because what they hold mounts an overlayfs itself.
var volumes = []string{"/var/lib/docker", "/var/lib/containerd", "/var/lib/containers"}

// Root is an assembled root. It holds its disks open, because they have no names after Enter.
type Root struct {
	overlay *os.File
	work    *os.File
	// scratch is held while the scratch file is open for writing, and from Close on.
	scratch sync.Mutex
}

// Assemble binds and mounts the disks and puts the root together, without entering it.
func Assemble(serials Serials, log *step.Log) (*Root, error) {
	if err := log.Run("mount-disks", func() error { return mountDisks(serials, log) }); err != nil {
		return nil, err
	}
	root := &Root{}
	var err error
	if root.overlay, err = os.Open(stage + "/overlay"); err != nil {
		return nil, err
	}
	if serials.Work != "" {
		if root.work, err = os.Open(stage + "/work"); err != nil {
			return nil, err
		}
	}
	return root, log.Run("mount-root", mountOverlay)
}

func mountOverlay() error {
	base, err := os.Stat(stage + "/base")
	if err != nil {
		return err
	}
	upper, work := stage+"/overlay/upper", stage+"/overlay/work"
	// The upper directory's mode is what / shows.
	if err := os.Mkdir(upper, base.Mode().Perm()); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.MkdirAll(work, 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s/base,upperdir=%s,workdir=%s,redirect_dir=on", stage, upper, work)
	if err := unix.Mount("overlay", newRoot, "overlay", unix.MS_NOATIME, options); err != nil {
		return fmt.Errorf("mount overlayfs: %w", err)
	}
	return nil
}

// Enter shows the kernel's file systems in the root and makes the root this process's /.
// Paths below /dev, /proc, /sys and /run mean the same before, meanwhile and after: they are bound, not moved.
func (r *Root) Enter() error {
	for _, name := range []string{"/dev", "/proc", "/sys", "/run"} {
		if err := ensureDirectory(newRoot+name, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(name, newRoot+name, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s into the root: %w", name, err)
		}
	}
	if err := ensureDirectory(newRoot+"/tmp", 0o1777); err != nil {
		return err
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root to /: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// AttachVolumes puts the parts that do not lie on overlayfs in place, from inside the root: directories for container
// engines, and the work disk on /root. A fresh one first receives what the image has in that place.
func (r *Root) AttachVolumes() error {
	for _, target := range volumes {
		source := fmt.Sprintf("/proc/self/fd/%d/volumes/%s", r.overlay.Fd(), filepath.Base(target))
		if err := os.MkdirAll(source, 0o711); err != nil {
			return err
		}
		if err := attach(source, target, 0o711); err != nil {
			return err
		}
	}
	if r.work != nil {
		if err := attach(fmt.Sprintf("/proc/self/fd/%d", r.work.Fd()), "/root", 0o700); err != nil {
			return err
		}
	}
	// Container engines want mounts to reach the containers they started earlier.
	return unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, "")
}

func attach(source, target string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	err := os.Mkdir(target, mode)
	if errors.Is(err, os.ErrExist) {
		err = seed(target, source)
	}
	// An image without the directory has nothing for the volume, and the volume needs no mark that says so.
	if err != nil {
		return fmt.Errorf("fill %s: %w", target, err)
	}
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", target, err)
	}
	return nil
}

// ensureDirectory makes a directory, and refuses what an image may have put in its place: a mount follows links.
func ensureDirectory(path string, mode os.FileMode) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.Mkdir(path, 0o755); err != nil {
			return err
		}
		return unix.Chmod(path, uint32(mode))
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s of the image is no directory", path[len(newRoot):])
	}
	return nil
}

// EmptyInitramfs frees the memory of what was unpacked beside the agent, once all modules are loaded. The running program keeps
// its own pages anyway.
func EmptyInitramfs() {
	entries, err := os.ReadDir("/")
	if err != nil {
		return
	}
	for _, entry := range entries {
		switch "/" + entry.Name() {
		case stage, "/init", "/dev", "/proc", "/sys", "/run":
		default:
			_ = os.RemoveAll("/" + entry.Name())
		}
	}
}
