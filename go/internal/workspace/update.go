package workspace

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/files"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// maxChanges bounds one update: more is work for Place.
const maxChanges = 1 << 20

type change struct {
	name     string
	old, new fileState
}

// Update implements WorkspaceService. Files are replaced one by one, after all of them have come.
func (s *service) Update(ctx context.Context, stream *connect.ClientStream[agentv1.UpdateRequest]) (*connect.Response[agentv1.UpdateResponse], error) {
	if !stream.Receive() || stream.Msg().GetOpen() == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the first request must be open"))
	}
	open := stream.Msg().GetOpen()
	workspace, err := resolve(open.GetPath())
	if err != nil {
		return nil, failed("update", open.GetPath(), err)
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	staging := beside(workspace, "sync")
	if err := os.RemoveAll(staging); err != nil {
		return nil, failed("update", workspace, err)
	}
	defer os.RemoveAll(staging)
	var changes []change
	_, err = files.Unpack(ctx, staging, &dataReader{next: func() ([]byte, error) {
		if !stream.Receive() {
			return nil, endOf(stream.Err())
		}
		for _, one := range stream.Msg().GetChanges().GetChanges() {
			changes = append(changes, changeOf(one))
		}
		if len(changes) > maxChanges {
			return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("too many changes"))
		}
		return stream.Msg().GetData(), nil
	}})
	if err != nil {
		return nil, err
	}
	conflicts, err := s.apply(ctx, workspace, staging, changes, open)
	if err != nil {
		return nil, failed("update", workspace, err)
	}
	return connect.NewResponse(&agentv1.UpdateResponse{Applied: len(conflicts) == 0 || open.GetForce(), Conflicts: conflicts}), nil
}

func changeOf(message *agentv1.FileChange) change {
	return change{
		name: string(message.GetPath()),
		old:  fileState{message.GetOldMode(), message.GetOldId()},
		new:  fileState{message.GetNewMode(), message.GetNewId()},
	}
}

func (s *service) apply(ctx context.Context, workspace, staging string, changes []change, open *agentv1.UpdateOpen) ([]uint32, error) {
	if info, err := os.Stat(open.GetMetaPath()); err != nil || !info.IsDir() {
		return nil, errors.New("the guest has no record of what was shipped")
	}
	root, err := os.OpenRoot(workspace)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var conflicts []uint32
	for at, one := range changes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		same, err := matches(root, one.name, max(len(one.old.id), len(one.new.id)), one.old, one.new)
		if err != nil {
			return nil, err
		}
		if !same {
			conflicts = append(conflicts, uint32(at))
		}
	}
	if len(conflicts) > 0 && !open.GetForce() {
		return conflicts, nil
	}
	// From here on it goes to its end, whoever goes away.
	for _, one := range changes {
		if one.new.mode == modeAbsent {
			if err := remove(root, one.name); err != nil {
				return nil, err
			}
		}
	}
	if err := moveAll(root, staging); err != nil {
		return nil, err
	}
	return conflicts, keepChanges(open.GetMetaPath(), changes)
}

// remove takes a file away, and the directories that it leaves empty.
func remove(root *os.Root, name string) error {
	if info, err := root.Lstat(name); err != nil || info.IsDir() {
		return nil
	}
	if err := root.Remove(name); err != nil && !isMissing(err) {
		return err
	}
	for at := filepath.Dir(name); at != "."; at = filepath.Dir(at) {
		if root.Remove(at) != nil {
			return nil
		}
	}
	return nil
}

// moveAll renames each file below staging to its place in the workspace.
func moveAll(root *os.Root, staging string) error {
	return filepath.WalkDir(staging, func(from string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(staging, from)
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		// An empty directory may be where a file comes now; one with files of the guest is an error that names it.
		if info, err := root.Lstat(name); err == nil && info.IsDir() {
			if err := root.Remove(name); err != nil {
				return err
			}
		}
		directory, err := root.Open(filepath.Dir(name))
		if err != nil {
			return err
		}
		defer directory.Close()
		return renameInto(from, directory, filepath.Base(name))
	})
}
