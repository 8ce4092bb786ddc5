package files

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// ReadTar implements FileService. A symbolic link is archived itself unless the path ends in "/". Sockets and the contents
// of kernel filesystems (proc, sysfs, ...) below the path are left out, and so is what disappears meanwhile.
func (service) ReadTar(ctx context.Context, request *connect.Request[agentv1.ReadTarRequest], stream *connect.ServerStream[agentv1.ReadTarResponse]) error {
	name := request.Msg.GetPath()
	if err := checkPath(name); err != nil {
		return err
	}
	source := filepath.Clean(name)
	if strings.HasSuffix(name, "/") && source != "/" {
		source += "/." // resolves the link and refuses what is no directory
	}
	buffer := bufio.NewWriterSize(chunkWriter(func(data []byte) error {
		return stream.Send(&agentv1.ReadTarResponse{Data: data})
	}), chunkBytes)
	base := path.Base(filepath.Clean(name))
	if base == "/" {
		base = "."
	}
	archive := archiver{ctx: ctx, tar: tar.NewWriter(buffer), links: map[inode]string{}}
	status, err := os.Lstat(source)
	if err == nil {
		err = archive.add(source, base, status)
	}
	if err == nil {
		err = archive.tar.Close()
	}
	if err == nil {
		err = buffer.Flush()
	}
	if err != nil {
		return failure("archive", name, err)
	}
	return nil
}

type inode struct{ device, number uint64 }

type archiver struct {
	ctx context.Context
	tar *tar.Writer
	// links holds the first entry of each file with several names.
	links map[inode]string
}

func (a *archiver) add(source, entry string, status fs.FileInfo) error {
	if err := a.ctx.Err(); err != nil {
		return err
	}
	raw, ok := status.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.ErrUnsupported
	}
	header := &tar.Header{
		Name:    entry,
		Mode:    int64(raw.Mode & 0o7777),
		Uid:     int(raw.Uid),
		Gid:     int(raw.Gid),
		ModTime: status.ModTime(),
		Format:  tar.FormatPAX,
	}
	switch status.Mode().Type() {
	case 0:
		return a.addRegular(header, source, raw)
	case fs.ModeDir:
		return a.addDirectory(header, source, entry)
	case fs.ModeSymlink:
		target, err := os.Readlink(source)
		if err != nil {
			return ignoreVanished(err)
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, target
	case fs.ModeNamedPipe:
		header.Typeflag = tar.TypeFifo
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		header.Typeflag = tar.TypeBlock
		if status.Mode()&fs.ModeCharDevice != 0 {
			header.Typeflag = tar.TypeChar
		}
		header.Devmajor, header.Devminor = int64(unix.Major(raw.Rdev)), int64(unix.Minor(raw.Rdev))
	default:
		return nil
	}
	return a.tar.WriteHeader(header)
}

func (a *archiver) addRegular(header *tar.Header, source string, raw *syscall.Stat_t) error {
	key := inode{raw.Dev, raw.Ino}
	if raw.Nlink > 1 {
		if first, known := a.links[key]; known {
			header.Typeflag, header.Linkname = tar.TypeLink, first
			return a.tar.WriteHeader(header)
		}
	}
	file, err := os.OpenFile(source, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return ignoreVanished(err)
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil || !status.Mode().IsRegular() {
		return err
	}
	header.Typeflag, header.Size = tar.TypeReg, status.Size()
	header.PAXRecords = readXattrs(file)
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	if raw.Nlink > 1 {
		a.links[key] = header.Name
	}
	// The header has promised the size: a file that shrinks meanwhile is filled up with zeros, as tar(1) does.
	copied, err := io.CopyN(a.tar, contextReader{a.ctx, file}, header.Size)
	if err == io.EOF {
		_, err = io.CopyN(a.tar, zeros{}, header.Size-copied)
	}
	return err
}

func (a *archiver) addDirectory(header *tar.Header, source, entry string) error {
	header.Typeflag, header.Name = tar.TypeDir, entry+"/"
	if err := a.tar.WriteHeader(header); err != nil {
		return err
	}
	if isKernelFilesystem(source) {
		return nil
	}
	directory, err := os.OpenFile(source, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return ignoreVanished(err)
	}
	names, err := directory.Readdirnames(-1)
	directory.Close()
	if err != nil && err != io.EOF {
		return err
	}
	slices.Sort(names)
	for _, base := range names {
		child := filepath.Join(source, base)
		status, err := os.Lstat(child)
		if err == nil {
			err = a.add(child, path.Join(entry, base), status)
		}
		if ignoreVanished(err) != nil {
			return err
		}
	}
	return nil
}

func isKernelFilesystem(path string) bool {
	var status unix.Statfs_t
	if unix.Statfs(path, &status) != nil {
		return false
	}
	switch int64(status.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.CGROUP_SUPER_MAGIC,
		unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC:
		return true
	}
	return false
}

func ignoreVanished(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

type contextReader struct {
	ctx context.Context
	io.Reader
}

func (r contextReader) Read(data []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(data)
}

type zeros struct{}

func (zeros) Read(data []byte) (int, error) {
	clear(data)
	return len(data), nil
}
