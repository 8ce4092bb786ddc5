package rootfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// The mark lies on the top directory of a volume, out of the user's sight. "begun" without "done" means that the copy
// was cut off and is to be done again.
const (
	seedMark  = "trusted.banger.seed"
	seedBegun = "begun"
	seedDone  = "done"
)

// seed copies what the image has at source into a fresh volume, once in the volume's life. A volume that came with
// content of its own is left alone.
func seed(source, volume string) error {
	var mark [16]byte
	n, err := unix.Getxattr(volume, seedMark, mark[:])
	if err != nil && err != unix.ENODATA {
		return err
	}
	state := string(mark[:max(n, 0)])
	if state == seedDone {
		return nil
	}
	if state == "" {
		// mke2fs makes it; fsck makes it again when it needs one.
		_ = os.Remove(volume + "/lost+found")
	}
	own, err := os.ReadDir(volume)
	if err != nil {
		return err
	}
	if state == seedBegun || len(own) == 0 {
		if err := fill(source, volume); err != nil {
			return err
		}
	}
	return setMark(volume, seedDone)
}

func setMark(volume, state string) error {
	return unix.Setxattr(volume, seedMark, []byte(state), 0)
}

func fill(source, volume string) error {
	entries, err := os.ReadDir(source)
	if err != nil {
		return err
	}
	// Mostly there is nothing to copy and nothing that could be cut off.
	if len(entries) > 0 {
		if err := setMark(volume, seedBegun); err != nil {
			return err
		}
	}
	return copyTree(source, volume)
}

// copyTree copies directories, regular files and symbolic links with owner, mode and time, over what is there.
func copyTree(source, target string) error {
	return filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return copyEntry(path, filepath.Join(target, relative), info)
	})
}

func copyEntry(source, target string, info fs.FileInfo) error {
	status := info.Sys().(*syscall.Stat_t)
	switch info.Mode().Type() {
	case fs.ModeDir:
		if err := os.Mkdir(target, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	case 0:
		if err := copyFile(source, target); err != nil {
			return err
		}
	case fs.ModeSymlink:
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		if err := os.Symlink(link, target); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		return os.Lchown(target, int(status.Uid), int(status.Gid))
	default:
		return nil
	}
	if err := os.Chown(target, int(status.Uid), int(status.Gid)); err != nil {
		return err
	}
	// After chown, which takes set-id bits away.
	if err := unix.Chmod(target, status.Mode&0o7777); err != nil {
		return err
	}
	return os.Chtimes(target, info.ModTime(), info.ModTime())
}

func copyFile(source, target string) error {
	in, err := os.Open(source)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
