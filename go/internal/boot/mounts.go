// Package boot is the part of PID 1's work that comes before anything personal is known: kernel file systems,
// modules, and the end of the machine. It knows nothing of disks or of the host.
package boot

import (
	"fmt"
	"os"

	"banger.dev/banger/internal/cgroup"
	"golang.org/x/sys/unix"
)

type fsMount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// MountKernel mounts what modules and the control channel need: /proc, /sys and /dev.
func MountKernel() error {
	return mountAll([]fsMount{
		{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
		{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	})
}

// MountRuntime mounts what processes of the guest expect: pseudo terminals, shared memory, /run and cgroup2, and makes
// the usual links in /dev. Nothing in it is personal, so it can be part of a template; the mounts show in the new root with
// /dev, /sys and /run.
func MountRuntime() error {
	if err := mountAll([]fsMount{
		{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,gid=5,ptmxmode=0666"},
		{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	}); err != nil {
		return err
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, "/dev/"+name); err != nil && !os.IsExist(err) {
			return err
		}
	}
	if err := os.MkdirAll("/run/lock", 0o755); err != nil {
		return err
	}
	mountCgroups()
	return nil
}

// KeepWholeProc mounts /proc once more where nobody in the guest can reach it. The kernel lets an unprivileged user of a new
// user namespace mount a /proc only while one that nothing covers is mounted, and the boot id covers a file of the guest's.
func KeepWholeProc(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("proc", directory, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount proc on %s: %w", directory, err)
	}
	return nil
}

// mountCgroups does without cgroups when the kernel has none, and without recursive protection before Linux 5.7.
func mountCgroups() {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	for _, data := range []string{"nsdelegate,memory_recursiveprot", "nsdelegate", ""} {
		if unix.Mount("cgroup2", cgroup.MountPoint, "cgroup2", flags, data) != unix.EINVAL {
			break
		}
	}
	cgroup.Prepare()
}

func mountAll(mounts []fsMount) error {
	for _, m := range mounts {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		err := unix.Mount(m.source, m.target, m.fstype, m.flags, m.data)
		// The kernel may have mounted devtmpfs itself.
		if err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	return nil
}
