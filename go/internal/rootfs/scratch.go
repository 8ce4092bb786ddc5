package rootfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// scratchName is a file on the overlay disk, beside what the guest sees of it.
const scratchName = "scratch"

var scratchContent = []byte{0}

// PlaceScratch makes a file to rehearse writing with, if there is none.
func (r *Root) PlaceScratch() error {
	file, err := r.openScratch(unix.O_CREAT)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(scratchContent)
	return err
}

// RehearseWrite writes the scratch file over, if there is one: as a file of the guest would be, but nobody can see it, or keep it from
// being written. Not while or after the disks are closed.
func (r *Root) RehearseWrite() {
	if !r.scratch.TryLock() {
		return
	}
	defer r.scratch.Unlock()
	file, err := r.openScratch(0)
	if err != nil {
		return
	}
	defer file.Close()
	_, _ = file.Write(scratchContent)
}

func (r *Root) openScratch(flags int) (*os.File, error) {
	fd, err := unix.Openat(int(r.overlay.Fd()), scratchName, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|flags, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), scratchName), nil
}
