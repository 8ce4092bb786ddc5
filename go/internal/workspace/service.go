// Package workspace keeps a directory of the guest in step with a repository of the host: it puts all of it there in one step, updates
// single files, and knows what the guest changed since. It needs no git.
package workspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
)

type service struct {
	// busy holds a token while something is written: what a broken session began has ended before the next one begins.
	busy chan struct{}
}

// NewService returns the handler of WorkspaceService.
func NewService() agentv1connect.WorkspaceServiceHandler {
	return &service{busy: make(chan struct{}, 1)}
}

func (s *service) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.busy <- struct{}{}:
		return func() { <-s.busy }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// resolve returns where a workspace lies: a link in its place leads to the directory that is meant.
func resolve(name string) (string, error) {
	if !path.IsAbs(name) || strings.ContainsRune(name, 0) || path.Clean(name) == "/" {
		return "", connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%q is no directory for a workspace", name))
	}
	real, err := filepath.EvalSymlinks(name)
	if errors.Is(err, fs.ErrNotExist) {
		return path.Clean(name), nil
	}
	return real, err
}

// beside names a directory next to a workspace for what is on its way into it.
func beside(workspace, purpose string) string {
	return filepath.Join(filepath.Dir(workspace), ".banger-"+filepath.Base(workspace)+"."+purpose)
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || isNotDirectory(err)
}

func isEmptyDirectory(name string) bool {
	entries, err := os.ReadDir(name)
	return err == nil && len(entries) == 0
}

func failed(operation, name string, err error) error {
	var known *connect.Error
	if errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return connect.NewError(connect.CodeInternal, fmt.Errorf("%s %q: %w", operation, name, err))
}
