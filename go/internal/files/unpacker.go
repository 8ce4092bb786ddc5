package files

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unpacker writes tar entries below one directory. Parents are resolved through os.Root, which lets no ".." and no link
// lead out; the last component is made with the *at system calls and never followed.
type unpacker struct {
	root   *os.Root
	owners ownership

	// parent is the directory that was used last, kept because entries come directory by directory.
	parent     *os.File
	parentName string

	directories  []pendingDirectory
	entries      uint64
	writtenBytes uint64
}

// pendingDirectory gets its mode and time when all is written, else the first could forbid and the second would not last.
type pendingDirectory struct {
	name     string
	mode     uint32
	modified time.Time
}

func openUnpacker(directory string, owners ownership) (*unpacker, error) {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(directory)
	if err != nil {
		return nil, err
	}
	return &unpacker{root: root, owners: owners}, nil
}

func (u *unpacker) close() {
	if u.parent != nil {
		u.parent.Close()
	}
	u.root.Close()
}

// entryName returns the slash path of an entry below the directory; "." for the directory itself.
func entryName(name string) (string, error) {
	if slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsRune(name, 0) {
		return "", invalid("entry %q: the name leads out of the directory", name)
	}
	return path.Clean("./" + strings.TrimLeft(name, "/")), nil
}

func (u *unpacker) add(header *tar.Header, content io.Reader) error {
	name, err := entryName(header.Name)
	if err != nil {
		return err
	}
	if name == "." {
		return nil // the directory belongs to its owner, not to the archive
	}
	parent, err := u.openDirectory(path.Dir(name), header)
	if err != nil {
		return err
	}
	at, base := int(parent.Fd()), path.Base(name)
	mode := uint32(header.Mode) & 0o7777
	switch header.Typeflag {
	case tar.TypeDir:
		if err := u.addDirectory(at, base, name); err != nil {
			return err
		}
		u.directories = append(u.directories, pendingDirectory{name: name, mode: mode, modified: header.ModTime})
		return u.chown(at, base, header)
	case tar.TypeReg:
		return u.addRegular(at, base, header, content)
	case tar.TypeLink:
		return u.addHardLink(at, base, header)
	case tar.TypeSymlink:
		err = u.replace(at, base, func() error { return unix.Symlinkat(header.Linkname, at, base) })
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[header.Typeflag]
		device := unix.Mkdev(uint32(header.Devmajor), uint32(header.Devminor))
		err = u.replace(at, base, func() error { return unix.Mknodat(at, base, kind|0o600, int(device)) })
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return invalid("entry %q: type %q is not supported", header.Name, string(header.Typeflag))
	}
	if err != nil {
		return err
	}
	if err := u.chown(at, base, header); err != nil {
		return err
	}
	if header.Typeflag != tar.TypeSymlink {
		if err := unix.Fchmodat(at, base, mode, 0); err != nil {
			return err
		}
	}
	return setTime(at, base, header.ModTime)
}

func (u *unpacker) addDirectory(at int, base, name string) error {
	err := unix.Mkdirat(at, base, 0o700)
	if err != unix.EEXIST {
		return err
	}
	// Also a link to a directory, when it stays inside.
	if status, err := u.root.Stat(name); err == nil && status.IsDir() {
		return nil
	}
	return u.replace(at, base, func() error { return unix.Mkdirat(at, base, 0o700) })
}

func (u *unpacker) addRegular(at int, base string, header *tar.Header, content io.Reader) error {
	var file *os.File
	err := u.replace(at, base, func() error {
		fd, err := unix.Openat(at, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err == nil {
			file = os.NewFile(uintptr(fd), base)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer file.Close()
	written, err := io.Copy(file, content)
	u.writtenBytes += uint64(written)
	if err != nil {
		return err
	}
	if uid, gid, change := u.owners.of(header); change {
		if err := file.Chown(uid, gid); err != nil {
			return err
		}
	}
	// After the owner: a change of owner takes set-id bits and capabilities away.
	if err := file.Chmod(modeOf(uint32(header.Mode))); err != nil {
		return err
	}
	writeXattrs(file, header.PAXRecords)
	if err := setTime(at, base, header.ModTime); err != nil {
		return err
	}
	return file.Close()
}

func (u *unpacker) addHardLink(at int, base string, header *tar.Header) error {
	target, err := entryName(header.Linkname)
	if err != nil {
		return err
	}
	if own, _ := entryName(header.Name); own == target {
		return invalid("a hard link to itself")
	}
	directory, err := u.root.Open(path.Dir(target))
	if err != nil {
		return err
	}
	defer directory.Close()
	return u.replace(at, base, func() error {
		return unix.Linkat(int(directory.Fd()), path.Base(target), at, base, 0)
	})
}

// replace makes an entry, after taking away what has its name; a directory is never taken away.
func (u *unpacker) replace(at int, base string, create func() error) error {
	err := create()
	if err != unix.EEXIST {
		return err
	}
	if err := unix.Unlinkat(at, base, 0); err != nil {
		return err
	}
	return create()
}

// openDirectory returns a directory below the root, making it and its parents when absent. The unpacker closes it.
func (u *unpacker) openDirectory(name string, header *tar.Header) (*os.File, error) {
	if u.parent != nil && u.parentName == name {
		return u.parent, nil
	}
	directory, err := u.root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if errors.Is(err, fs.ErrNotExist) && name != "." {
		above, aboveErr := u.openDirectory(path.Dir(name), header)
		if aboveErr != nil {
			return nil, aboveErr
		}
		at, base := int(above.Fd()), path.Base(name)
		if err := unix.Mkdirat(at, base, 0o755); err != nil {
			return nil, err
		}
		if err := u.chown(at, base, header); err != nil {
			return nil, err
		}
		directory, err = u.root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	}
	if err != nil {
		return nil, err
	}
	if u.parent != nil {
		u.parent.Close()
	}
	u.parent, u.parentName = directory, name
	return directory, nil
}

func (u *unpacker) chown(at int, base string, header *tar.Header) error {
	uid, gid, change := u.owners.of(header)
	if !change {
		return nil
	}
	return unix.Fchownat(at, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
}

func (u *unpacker) finishDirectories() error {
	for _, pending := range slices.Backward(u.directories) {
		directory, err := u.root.OpenFile(pending.name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			return failure("entry", pending.name, err)
		}
		err = directory.Chmod(modeOf(pending.mode))
		if err == nil {
			times := unixTimes(pending.modified)
			err = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", directory.Fd()), times, 0)
		}
		directory.Close()
		if err != nil {
			return failure("entry", pending.name, err)
		}
	}
	return nil
}

func setTime(at int, base string, modified time.Time) error {
	return unix.UtimesNanoAt(at, base, unixTimes(modified), unix.AT_SYMLINK_NOFOLLOW)
}

func unixTimes(modified time.Time) []unix.Timespec {
	return []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Sec: modified.Unix(), Nsec: int64(modified.Nanosecond())}}
}
