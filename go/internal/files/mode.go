package files

import (
	"fmt"
	"io/fs"
	"syscall"
)

// modeOf turns the permission bits of st_mode, set-id and sticky bits among them, into Go's form.
func modeOf(bits uint32) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	if bits&syscall.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if bits&syscall.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if bits&syscall.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

func notRegular(operation, name string, status fs.FileInfo) error {
	if status.IsDir() {
		return &fs.PathError{Op: operation, Path: name, Err: syscall.EISDIR}
	}
	return fmt.Errorf("%s %q: not a regular file", operation, name)
}
