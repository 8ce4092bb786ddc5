package workspace

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Modes as git writes them.
const (
	modeAbsent     = 0
	modeFile       = 0o100644
	modeExecutable = 0o100755
	modeLink       = 0o120000
	modeSubmodule  = 0o160000
)

// fileState is what git knows of a file: its mode and the id of its content.
type fileState struct {
	mode uint32
	id   []byte
}

func (s fileState) is(other fileState) bool {
	return s.mode == other.mode && (s.mode == modeAbsent || bytes.Equal(s.id, other.id))
}

// modeOf returns git's mode of a file; false for what git knows no mode for.
func modeOf(info fs.FileInfo) (uint32, bool) {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return modeLink, true
	case !info.Mode().IsRegular():
		return 0, false
	case info.Mode()&0o100 != 0:
		return modeExecutable, true
	default:
		return modeFile, true
	}
}

// stateOf reads a file below root. Directories and the like count as absent, and a link that leads out of the root does, too.
func stateOf(root *os.Root, name string, idBytes int) (fileState, error) {
	info, err := root.Lstat(name)
	if err != nil {
		if isMissing(err) || escapes(err) {
			return fileState{}, nil
		}
		return fileState{}, err
	}
	mode, ok := modeOf(info)
	if !ok {
		return fileState{mode: ^uint32(0)}, nil
	}
	if mode == modeLink {
		target, err := root.Readlink(name)
		if err != nil {
			return fileState{}, err
		}
		return fileState{mode, sum(idBytes, strings.NewReader(target), int64(len(target)))}, nil
	}
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return fileState{}, err
	}
	defer file.Close()
	return fileState{mode, sum(idBytes, file, info.Size())}, nil
}

// maxConvertedBytes bounds what is read into memory: files with CR LF are text.
const maxConvertedBytes = 64 << 20

// matches says whether a file is in one of the states: as it is, or as git takes it in where lines end with CR LF in the work tree only.
func matches(root *os.Root, name string, idBytes int, states ...fileState) (bool, error) {
	now, err := stateOf(root, name, idBytes)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(states, now.is) {
		return true, nil
	}
	sameMode := slices.ContainsFunc(states, func(state fileState) bool { return state.mode == now.mode })
	if !sameMode || now.mode != modeFile && now.mode != modeExecutable {
		return false, nil
	}
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConvertedBytes))
	if err != nil || !bytes.Contains(text, []byte("\r\n")) {
		return false, err
	}
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	now.id = sum(idBytes, bytes.NewReader(text), int64(len(text)))
	return slices.ContainsFunc(states, now.is), nil
}

// sum returns the id that git gives the content; nil when it is not as long as it should be.
func sum(idBytes int, content io.Reader, size int64) []byte {
	var digest hash.Hash
	if idBytes == sha256.Size {
		digest = sha256.New()
	} else {
		digest = sha1.New()
	}
	fmt.Fprintf(digest, "blob %d\x00", size)
	if count, err := io.Copy(digest, content); err != nil || count != size {
		return nil
	}
	return digest.Sum(nil)
}

func isNotDirectory(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// escapes: os.Root has no error value for a path that leads out of it.
func escapes(err error) bool { return strings.Contains(err.Error(), "path escapes from parent") }
