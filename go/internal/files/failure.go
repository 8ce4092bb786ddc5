package files

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"connectrpc.com/connect"
)

// failure turns the error of an operation on a path into a Connect error that names both.
func failure(operation, name string, err error) error {
	var known *connect.Error
	if errors.As(err, &known) {
		return err
	}
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		err = pathError.Err
	}
	return connect.NewError(codeOf(err), fmt.Errorf("%s %q: %w", operation, name, err))
}

func codeOf(err error) connect.Code {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return connect.CodeNotFound
	case errors.Is(err, fs.ErrPermission):
		return connect.CodePermissionDenied
	case errors.Is(err, fs.ErrExist):
		return connect.CodeAlreadyExists
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return connect.CodeResourceExhausted
	case strings.Contains(err.Error(), "path escapes from parent"): // os.Root has no error value for it
		return connect.CodeInvalidArgument
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		return connect.CodeInvalidArgument
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ELOOP),
		errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTEMPTY):
		return connect.CodeFailedPrecondition
	default:
		return connect.CodeInternal
	}
}

func invalid(format string, arguments ...any) error {
	return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf(format, arguments...))
}

// checkPath admits absolute paths only.
func checkPath(name string) error {
	if !path.IsAbs(name) || strings.ContainsRune(name, 0) {
		return invalid("path %q: not an absolute path", name)
	}
	return nil
}
