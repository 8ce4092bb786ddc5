package workspace

import (
	"os"

	"golang.org/x/sys/unix"
)

// renameInto moves a file into a directory that is open, whatever its path leads to by now.
func renameInto(from string, directory *os.File, base string) error {
	if err := unix.Renameat(unix.AT_FDCWD, from, int(directory.Fd()), base); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: base, Err: err}
	}
	return nil
}
