package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"connectrpc.com/connect"
)

// findProgram resolves argv[0] as execvp(3) does, with the PATH that the process itself will have, and relative to its
// working directory. Permission bits for the user are left to execve.
func findProgram(name, searchPath, cwd string) (string, error) {
	if name == "" {
		return "", connect.NewError(connect.CodeInvalidArgument, errors.New("the command is an empty word"))
	}
	if strings.Contains(name, "/") {
		return name, programError(name, checkProgram(absolute(name, cwd)))
	}
	var denied error
	for _, directory := range filepath.SplitList(searchPath) {
		candidate := filepath.Join(absolute(directory, cwd), name)
		switch err := checkProgram(candidate); {
		case err == nil:
			return candidate, nil
		case errors.Is(err, fs.ErrPermission):
			denied = err
		}
	}
	if denied != nil {
		return "", programError(name, denied)
	}
	return "", connect.NewError(connect.CodeNotFound, fmt.Errorf("command %q: not found in PATH (%s)", name, searchPath))
}

func absolute(path, cwd string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(cwd, path)
}

func checkProgram(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return &fs.PathError{Op: "exec", Path: path, Err: fmt.Errorf("is a directory: %w", fs.ErrPermission)}
	case info.Mode()&0o111 == 0:
		return &fs.PathError{Op: "exec", Path: path, Err: fmt.Errorf("not executable: %w", fs.ErrPermission)}
	}
	return nil
}

// programError gives a failed look-up or execve the code that callers turn into 127 (not found) or 126 (not executable).
func programError(name string, err error) error {
	if err == nil {
		return nil
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	code := connect.CodeInternal
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		code = connect.CodeNotFound
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC):
		code = connect.CodePermissionDenied
	case errors.Is(err, syscall.E2BIG):
		code = connect.CodeInvalidArgument
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE):
		code = connect.CodeResourceExhausted
	}
	return connect.NewError(code, fmt.Errorf("command %q: %w", name, err))
}
