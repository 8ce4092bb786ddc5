package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	"banger.dev/banger/internal/files"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// metaName is the directory of the tar that holds the record of what is shipped when it does not lie in the workspace.
const metaName = ".banger-meta"

// Place implements WorkspaceService. Until the last step, and when that is not reached, nothing of the workspace is touched.
func (s *service) Place(ctx context.Context, stream *connect.ClientStream[agentv1.PlaceRequest]) (*connect.Response[agentv1.PlaceResponse], error) {
	if !stream.Receive() || stream.Msg().GetOpen() == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the first request must be open"))
	}
	open := stream.Msg().GetOpen()
	workspace, err := resolve(open.GetPath())
	if err != nil {
		return nil, failed("prepare", open.GetPath(), err)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	staging := beside(workspace, "new")
	// Afterwards it is the old workspace that lies there; nobody has to wait until that is gone.
	defer func() {
		go func() {
			defer unlock()
			_ = os.RemoveAll(staging)
		}()
	}()
	if err := os.RemoveAll(staging); err != nil {
		return nil, failed("prepare", workspace, err)
	}
	entries, err := files.Unpack(ctx, staging, &dataReader{next: func() ([]byte, error) {
		if !stream.Receive() {
			return nil, endOf(stream.Err())
		}
		return stream.Msg().GetData(), nil
	}})
	if err != nil {
		return nil, err
	}
	reply := &agentv1.PlaceResponse{Entries: entries}
	found, err := s.replace(ctx, workspace, staging, open)
	if err != nil {
		return nil, failed("prepare", workspace, err)
	}
	reply.Work = found.message()
	reply.Placed = open.GetForce() || !found.any()
	return connect.NewResponse(reply), nil
}

func endOf(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// replace puts staging in the place of the workspace, unless work of the guest stands in the way and force is not given.
func (s *service) replace(ctx context.Context, workspace, staging string, open *agentv1.PlaceOpen) (work, error) {
	var found work
	var kept []string
	status, err := os.Lstat(workspace)
	exists := err == nil
	if exists && !status.IsDir() {
		return work{}, errors.New("it is no directory")
	}
	if exists && isMountPoint(workspace) {
		return work{}, errors.New("a file system is mounted there, so it cannot be replaced in one step: choose a directory below it")
	}
	if exists && !isEmptyDirectory(workspace) {
		record, err := readShipped(open.GetMetaPath())
		if err != nil && !open.GetForce() {
			return work{}, err
		}
		if record == nil {
			record = &shipped{idBytes: 20}
		} else if !open.GetForce() {
			refs, _ := readRefs(workspace)
			if found, err = record.workOf(ctx, workspace, refs); err != nil {
				return work{}, err
			}
		}
		var lost []string
		if kept, lost, err = leftovers(ctx, workspace, staging, record); err != nil {
			return work{}, err
		}
		found.paths = append(found.paths, lost...)
		if found.any() && !open.GetForce() {
			return found, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return work{}, err
	}
	meta := filepath.Join(staging, metaName)
	if open.GetNewMetaPath() != "" {
		if err := moveRecord(meta, open.GetNewMetaPath()); err != nil {
			return work{}, err
		}
	}
	// From here on it goes to its end, whoever goes away.
	// Renaming a directory of the image, below the overlay, is not possible; an empty one can go.
	if !exists || os.Remove(workspace) == nil {
		return found, os.Rename(staging, workspace)
	}
	if err := exchange(staging, workspace); err != nil {
		return work{}, err
	}
	return found, carryOver(staging, workspace, kept)
}

// carryOver moves what was kept. Until that is done the old workspace lies where no later Place removes it.
func carryOver(staging, workspace string, kept []string) error {
	if len(kept) == 0 {
		return nil
	}
	old := fmt.Sprintf("%s-%d", beside(workspace, "old"), time.Now().UnixNano())
	if err := os.Rename(staging, old); err != nil {
		return err
	}
	if err := carry(old, workspace, kept); err != nil {
		return fmt.Errorf("not all that was not of the repository could be moved; the rest is in %q: %w", old, err)
	}
	return os.Rename(old, staging)
}

func moveRecord(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	// They may lie on two disks.
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	return os.RemoveAll(from)
}

func exchange(one, other string) error {
	err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
	if err == nil {
		return nil
	}
	// Not every file system can exchange: two renames are left.
	aside := beside(other, "old")
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	if renameErr := os.Rename(other, aside); renameErr != nil {
		return fmt.Errorf("it cannot be replaced in one step, as directories of the image cannot: choose another: %w", err)
	}
	if err := os.Rename(one, other); err != nil {
		return errors.Join(err, os.Rename(aside, other))
	}
	return os.Rename(aside, one)
}

func isMountPoint(name string) bool {
	var own, above unix.Stat_t
	if unix.Lstat(name, &own) != nil || unix.Lstat(filepath.Dir(name), &above) != nil {
		return false
	}
	return own.Dev != above.Dev
}
