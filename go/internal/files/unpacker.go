package files

import (
	"archive/tar"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
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
	// parentGivesGroup: what is made in it gets its group (setgid).
	parentGivesGroup bool
	umask            uint32

	directories  []pendingDirectory
	buffer       []byte
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
	return &unpacker{root: root, owners: owners, umask: umask()}, nil
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
	case tar.TypeReg, tar.TypeGNUSparse:
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

// addRegular makes no os.File: a repository has tens of thousands of files, and each would cost a buffer and further system calls.
func (u *unpacker) addRegular(at int, base string, header *tar.Header, content io.Reader) error {
	var fd int
	err := u.replace(at, base, func() (err error) {
		fd, err = unix.Openat(at, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, u.firstMode(header))
		return err
	})
	if err != nil {
		return err
	}
	if err := u.fill(fd, header, content); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	if err := setTime(at, base, header.ModTime); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	return unix.Close(fd)
}

// firstMode is what a file is made with. Nobody but its owner is let in before it has its owner; where that is root from the start, the
// mode can be what it is to be.
func (u *unpacker) firstMode(header *tar.Header) uint32 {
	if mode := uint32(header.Mode) & 0o7777; u.bornRight(header) && mode&^(0o777&^u.umask) == 0 {
		return mode
	}
	return 0o600
}

// bornRight says whether a file that is made belongs to whom it should.
func (u *unpacker) bornRight(header *tar.Header) bool {
	uid, gid, change := u.owners.of(header)
	return !change || uid == 0 && gid == 0 && !u.parentGivesGroup
}

func (u *unpacker) fill(fd int, header *tar.Header, content io.Reader) error {
	if u.buffer == nil {
		u.buffer = make([]byte, copyBytes)
	}
	// What has no bytes in the archive has none on the disk.
	sparse := header.Size >= sparseBytes
	for at := int64(0); ; {
		count, err := content.Read(u.buffer)
		if count > 0 {
			if data := u.buffer[:count]; sparse && isZero(data) {
				if _, seekErr := unix.Seek(fd, int64(count), io.SeekCurrent); seekErr != nil {
					return seekErr
				}
			} else if writeErr := writeAll(fd, data); writeErr != nil {
				return writeErr
			}
			at += int64(count)
			u.writtenBytes += uint64(count)
		}
		if err == io.EOF {
			if sparse {
				if err := unix.Ftruncate(fd, at); err != nil {
					return err
				}
			}
			break
		}
		if err != nil {
			return err
		}
	}
	if !u.bornRight(header) {
		uid, gid, _ := u.owners.of(header)
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return err
		}
	}
	// After the owner: a change of owner takes set-id bits and capabilities away.
	if mode := uint32(header.Mode) & 0o7777; mode != u.firstMode(header) {
		if err := unix.Fchmod(fd, mode); err != nil {
			return err
		}
	}
	writeXattrs(fd, header.PAXRecords)
	return nil
}

const (
	copyBytes = 64 << 10
	// sparseBytes is the size from which on zeroes are looked for.
	sparseBytes = 1 << 20
)

func isZero(data []byte) bool {
	for len(data) >= 8 {
		if binary.NativeEndian.Uint64(data) != 0 {
			return false
		}
		data = data[8:]
	}
	for _, one := range data {
		if one != 0 {
			return false
		}
	}
	return true
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		count, err := unix.Write(fd, data)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		data = data[count:]
	}
	return nil
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
	status, err := directory.Stat()
	u.parent, u.parentName, u.parentGivesGroup = directory, name, err != nil || status.Mode()&fs.ModeSetgid != 0
	return directory, nil
}

// umask of this process; all bits when it cannot be told.
func umask() uint32 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "\nUmask:\t")
	text, _, _ := strings.Cut(rest, "\n")
	mask, err := strconv.ParseUint(text, 8, 32)
	if err != nil {
		return 0o777
	}
	return uint32(mask)
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
