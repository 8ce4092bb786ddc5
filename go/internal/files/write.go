package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// Write implements FileService. A path that is a symbolic link to a file replaces that file and keeps the link.
func (service) Write(ctx context.Context, stream *connect.ClientStream[agentv1.WriteRequest]) (*connect.Response[agentv1.WriteResponse], error) {
	if !stream.Receive() {
		return nil, streamFailure(stream.Err(), "write")
	}
	open := stream.Msg().GetOpen()
	if open == nil {
		return nil, invalid("the first write request must be open")
	}
	name := open.GetPath()
	if err := checkPath(name); err != nil {
		return nil, err
	}
	target, mode, err := writeTarget(name, open.GetMode())
	if err != nil {
		return nil, failure("write", name, err)
	}
	staged, err := stage(target, mode, open)
	if err != nil {
		return nil, failure("write", name, err)
	}
	published := false
	defer func() {
		staged.Close()
		if !published {
			os.Remove(staged.Name())
		}
	}()
	var written uint64
	for stream.Receive() {
		count, err := staged.Write(stream.Msg().GetData())
		written += uint64(count)
		if err != nil {
			return nil, failure("write", name, err)
		}
	}
	if err := errors.Join(stream.Err(), ctx.Err()); err != nil {
		return nil, err
	}
	if err := publish(staged, target); err != nil {
		return nil, failure("write", name, err)
	}
	published = true
	return connect.NewResponse(&agentv1.WriteResponse{WrittenBytes: written}), nil
}

// writeTarget follows links and decides the permission bits: those asked for, else of the replaced file, else 0644.
func writeTarget(name string, mode uint32) (string, fs.FileMode, error) {
	target := name
	if resolved, err := filepath.EvalSymlinks(name); err == nil {
		target = resolved
	}
	permissions := fs.FileMode(0o644)
	if status, err := os.Lstat(target); err == nil {
		if status.IsDir() {
			return "", 0, notRegular("write", name, status)
		}
		if status.Mode().IsRegular() {
			permissions = status.Mode()
		}
	}
	if mode != 0 {
		permissions = modeOf(mode)
	}
	return target, permissions, nil
}

func stage(target string, mode fs.FileMode, open *agentv1.WriteOpen) (*os.File, error) {
	path := filepath.Join(filepath.Dir(target), ".banger-"+rand.Text())
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("directory %q: %w", filepath.Dir(target), fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		err = file.Chown(int(open.GetUid()), int(open.GetGid()))
	}
	// After the owner: a change of owner takes the set-id bits away.
	if err == nil {
		err = file.Chmod(mode)
	}
	if err != nil {
		file.Close()
		os.Remove(path)
		return nil, err
	}
	return file, nil
}

func publish(staged *os.File, target string) error {
	if err := staged.Sync(); err != nil {
		return err
	}
	if err := os.Rename(staged.Name(), target); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(target))
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}

func streamFailure(err error, operation string) error {
	if err == nil {
		err = invalid("%s: the stream ended before its first request", operation)
	}
	return err
}
