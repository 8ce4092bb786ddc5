// Package cgroup keeps the processes of a guest's users apart from the agent: they start in a cgroup of their own, so that
// they can be stopped as one.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// MountPoint is where a guest sees its cgroups.
	MountPoint = "/sys/fs/cgroup"
	// UserGroup is the name of the cgroup that processes of users start in.
	UserGroup = "guest"
)

// Root is the top of the guest's cgroup2 hierarchy, independent of what its users mount where.
type Root struct{ fd int }

// OpenRoot takes hold of the hierarchy mounted at path. The hold is a mount of its own that has no name: users of the guest
// may unmount theirs or hide it.
func OpenRoot(path string) (*Root, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("take hold of %s: %w", path, err)
	}
	root := &Root{fd: fd}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		root.Close()
		return nil, fmt.Errorf("%s is no cgroup2 file system", path)
	}
	return root, nil
}

// Close lets go of the hierarchy.
func (r *Root) Close() { unix.Close(r.fd) }

var (
	mu   sync.Mutex
	root *Root
	user = -1
)

// Prepare makes the users' cgroup below the hierarchy mounted at MountPoint. Without cgroup2, processes start without one.
func Prepare() {
	mu.Lock()
	defer mu.Unlock()
	opened, err := OpenRoot(MountPoint)
	if err != nil {
		return
	}
	root = opened
	_ = openUser()
}

// System is the hierarchy that Prepare found; nil without one.
func System() *Root {
	mu.Lock()
	defer mu.Unlock()
	return root
}

func openUser() error {
	fd, err := root.Make(UserGroup)
	if err != nil {
		return err
	}
	if user >= 0 {
		unix.Close(user)
	}
	user = fd
	return nil
}

// Place makes a process start in the users' cgroup, when there is one. Linux before 5.7 cannot: there it starts beside the agent.
func Place(attributes *syscall.SysProcAttr) {
	mu.Lock()
	defer mu.Unlock()
	if user < 0 || !canPlace() {
		return
	}
	// A user may have removed the cgroup while it was empty.
	var probe unix.Stat_t
	if unix.Fstatat(user, "cgroup.procs", &probe, 0) != nil && openUser() != nil {
		return
	}
	attributes.UseCgroupFD, attributes.CgroupFD = true, user
}

var canPlace = sync.OnceValue(func() bool {
	var name unix.Utsname
	var major, minor int
	if unix.Uname(&name) != nil {
		return false
	}
	n, _ := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 7)
})

// Make makes a cgroup below the top, if it is not there yet, and opens its directory. The caller closes it.
func (r *Root) Make(name string) (int, error) {
	if err := unix.Mkdirat(r.fd, name, 0o755); err != nil && err != unix.EEXIST {
		return -1, fmt.Errorf("make cgroup %s: %w", name, err)
	}
	fd, err := unix.Openat(r.fd, name, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open cgroup %s: %w", name, err)
	}
	return fd, nil
}

// Remove removes an empty cgroup.
func (r *Root) Remove(name string) error { return unix.Unlinkat(r.fd, name, unix.AT_REMOVEDIR) }

// Groups lists the names of the cgroups right below the top.
func (r *Root) Groups() ([]string, error) {
	fd, err := unix.Openat(r.fd, ".", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	directory := os.NewFile(uintptr(fd), "cgroup")
	defer directory.Close()
	entries, err := directory.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Open opens a control file. The caller closes it.
func (r *Root) Open(path string, flags int) (*os.File, error) {
	fd, err := unix.Openat(r.fd, path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Write gives a control file its value.
func (r *Root) Write(path, value string) error {
	file, err := r.Open(path, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(value)
	return err
}

// EnterTop moves the calling process into the top cgroup, unless it is there.
func (r *Root) EnterTop() error {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(own)) {
		if strings.TrimSpace(line) == "0::/" {
			return nil
		}
	}
	return r.Write("cgroup.procs", "0")
}

// IsGone says whether an error means that the cgroup or the process vanished meanwhile.
func IsGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}
