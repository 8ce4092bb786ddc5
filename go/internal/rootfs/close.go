package rootfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Close writes everything out and makes the disks read-only, so that the next boot has no journal to replay. Processes
// that still write make it fail; then the disks are synced nevertheless.
func (r *Root) Close() error {
	// A file that is open for writing would keep the overlay disk from it. There are no rehearsals any more.
	r.scratch.Lock()
	unix.Sync()
	return errors.Join(freeze("work", r.work), freeze("overlay", r.overlay))
}

// Sync writes everything out while the disks stay in use.
func (r *Root) Sync() error {
	var failures []error
	for role, directory := range map[string]*os.File{"work": r.work, "overlay": r.overlay} {
		if directory == nil {
			continue
		}
		if err := unix.Syncfs(int(directory.Fd())); err != nil {
			failures = append(failures, fmt.Errorf("sync the %s disk: %w", role, err))
		}
	}
	return errors.Join(failures...)
}

func freeze(role string, directory *os.File) error {
	if directory == nil {
		return nil
	}
	path := fmt.Sprintf("/proc/self/fd/%d", directory.Fd())
	if err := unix.Mount("", path, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make the %s disk read-only: %w", role, err)
	}
	return nil
}

// Usage is how full a file system is.
type Usage struct {
	MountPoint            string
	TotalBytes, UsedBytes uint64
}

// Disks measures the file systems that a user of the guest sees.
func (r *Root) Disks() []Usage {
	points := []string{"/"}
	if r != nil && r.work != nil {
		points = append(points, "/root")
	}
	var usages []Usage
	for _, point := range points {
		var s unix.Statfs_t
		if unix.Statfs(point, &s) == nil {
			block := uint64(s.Bsize)
			usages = append(usages, Usage{point, s.Blocks * block, (s.Blocks - s.Bfree) * block})
		}
	}
	return usages
}
