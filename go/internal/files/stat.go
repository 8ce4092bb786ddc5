package files

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

const (
	maxListEntries = 10_000
	// maxListBytes keeps a listing of long names below the 4 MiB that the host takes.
	maxListBytes = 3 << 20
)

// Stat implements FileService.
func (service) Stat(_ context.Context, request *connect.Request[agentv1.StatRequest]) (*connect.Response[agentv1.StatResponse], error) {
	name := request.Msg.GetPath()
	if err := checkPath(name); err != nil {
		return nil, err
	}
	read := os.Lstat
	if request.Msg.GetFollow() {
		read = os.Stat
	}
	status, err := read(name)
	if err != nil {
		return nil, failure("stat", name, err)
	}
	info := describe(status, name)
	info.Name = []byte(name)
	return connect.NewResponse(&agentv1.StatResponse{Info: info}), nil
}

// List implements FileService.
func (service) List(_ context.Context, request *connect.Request[agentv1.ListRequest]) (*connect.Response[agentv1.ListResponse], error) {
	name := request.Msg.GetPath()
	if err := checkPath(name); err != nil {
		return nil, err
	}
	directory, err := os.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, failure("list", name, err)
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil && err != io.EOF {
		return nil, failure("list", name, err)
	}
	slices.Sort(names)
	response := &agentv1.ListResponse{}
	sizeBytes := 0
	for _, base := range names {
		full := filepath.Join(name, base)
		status, err := os.Lstat(full)
		if err != nil {
			continue // removed since the directory was read
		}
		info := describe(status, full)
		sizeBytes += proto.Size(info) + 4
		if len(response.Entries) == maxListEntries || sizeBytes > maxListBytes {
			response.Truncated = true
			break
		}
		response.Entries = append(response.Entries, info)
	}
	return connect.NewResponse(response), nil
}

func describe(status fs.FileInfo, path string) *agentv1.FileInfo {
	info := &agentv1.FileInfo{
		Name:              []byte(status.Name()),
		SizeBytes:         uint64(status.Size()),
		ModifiedUnixNanos: status.ModTime().UnixNano(),
	}
	if raw, ok := status.Sys().(*syscall.Stat_t); ok {
		info.Mode, info.Uid, info.Gid = raw.Mode, raw.Uid, raw.Gid
	}
	if status.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(path)
		info.LinkTarget = []byte(target)
	}
	return info
}
