package workspace

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxRecordBytes bounds what is read of a record: a guest may have put anything there.
const maxRecordBytes = 512 << 20

// shippedFile is a file as the host shipped it.
type shippedFile struct {
	fileState
	// seconds and size, modulo 2^32, say that a file is unchanged; not to be asked when exact is false.
	seconds, size uint32
	exact         bool
}

// shipped is what the host put into a workspace.
type shipped struct {
	idBytes int
	files   map[string]shippedFile
	refs    map[string]string
}

// readShipped returns nil when nothing is recorded.
func readShipped(metaPath string) (*shipped, error) {
	if metaPath == "" {
		return nil, nil
	}
	state, err := readRecord(filepath.Join(metaPath, "state"))
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	result := &shipped{idBytes: 20, refs: map[string]string{}}
	for line := range strings.Lines(string(state)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case word == "format" && rest == "sha256":
			result.idBytes = 32
		case word == "ref":
			id, name, _ := strings.Cut(rest, " ")
			result.refs[name] = id
		}
	}
	index, err := readRecord(filepath.Join(metaPath, "index"))
	if err != nil {
		return nil, err
	}
	if result.files, err = parseIndex(index, result.idBytes); err != nil {
		return nil, fmt.Errorf("the record of what was shipped: %w", err)
	}
	if err := result.doubtYoung(filepath.Join(metaPath, "index")); err != nil {
		return nil, err
	}
	changes, err := readRecord(filepath.Join(metaPath, "changes"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return result, result.apply(changes)
}

// doubtYoung has files read that are not older than the record: they may have been written again in the same second.
func (s *shipped) doubtYoung(index string) error {
	info, err := os.Stat(index)
	if err != nil {
		return err
	}
	for name, file := range s.files {
		if file.seconds >= uint32(info.ModTime().Unix()) {
			file.exact = false
			s.files[name] = file
		}
	}
	return nil
}

func readRecord(name string) ([]byte, error) {
	file, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxRecordBytes {
		return nil, fmt.Errorf("%q is not what banger wrote there", name)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(file, data)
	return data, err
}

var errIndex = errors.New("the index is damaged")

// Flags of an entry of an index.
const (
	flagExtended     = 1 << 14
	maskStage        = 3 << 12
	maskNameLength   = 0xfff
	flagSkipWorktree = 1 << 14 // of the extended ones
)

// parseIndex reads a git index of version 2 or 3. Files that are not in the work tree (skip-worktree, submodules) are left out.
func parseIndex(data []byte, idBytes int) (map[string]shippedFile, error) {
	if len(data) < 12 || string(data[:4]) != "DIRC" {
		return nil, errIndex
	}
	version, count := binary.BigEndian.Uint32(data[4:]), binary.BigEndian.Uint32(data[8:])
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("%w: version %d", errIndex, version)
	}
	files := make(map[string]shippedFile, min(int(count), len(data)/64))
	at := 12
	for range count {
		head := 40 + idBytes + 2
		if at+head > len(data) {
			return nil, errIndex
		}
		word := func(n int) uint32 { return binary.BigEndian.Uint32(data[at+4*n:]) }
		seconds, mode, size := word(2), word(6), word(9)
		id := data[at+40 : at+40+idBytes]
		flags := binary.BigEndian.Uint16(data[at+40+idBytes:])
		extended := uint16(0)
		if flags&flagExtended != 0 {
			if at+head+2 > len(data) {
				return nil, errIndex
			}
			extended = binary.BigEndian.Uint16(data[at+head:])
			head += 2
		}
		length := int(flags & maskNameLength)
		if length == maskNameLength {
			length = bytes.IndexByte(data[at+head:], 0)
		}
		if length < 1 || at+head+length >= len(data) {
			return nil, errIndex
		}
		name := string(data[at+head : at+head+length])
		at += (head + length + 8) &^ 7
		if mode != modeSubmodule && extended&flagSkipWorktree == 0 && flags&maskStage == 0 {
			// git writes size 0 where the time alone does not tell.
			files[name] = shippedFile{fileState{mode, id}, seconds, size, true}
		}
	}
	return files, nil
}

// apply takes in what was synced later.
func (s *shipped) apply(changes []byte) error {
	for len(changes) > 0 {
		entry, rest, found := bytes.Cut(changes, []byte{0})
		if !found {
			return nil // written when the machine stopped
		}
		changes = rest
		head, name, found := strings.Cut(string(entry), "\t")
		modeText, idText, _ := strings.Cut(head, " ")
		mode, modeErr := strconv.ParseUint(modeText, 8, 32)
		id, idErr := hex.DecodeString(idText)
		if !found || modeErr != nil || idErr != nil {
			return errors.New("the record of what was synced is damaged")
		}
		if mode == modeAbsent {
			delete(s.files, name)
		} else {
			s.files[name] = shippedFile{fileState: fileState{uint32(mode), id}}
		}
	}
	return nil
}

// keepChanges adds to the record what is synced now.
func keepChanges(metaPath string, changes []change) error {
	file, err := os.OpenFile(filepath.Join(metaPath, "changes"), os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	output := bufio.NewWriter(file)
	for _, one := range changes {
		id := one.new.id
		if one.new.mode == modeAbsent {
			id = make([]byte, len(one.old.id))
		}
		fmt.Fprintf(output, "%o %x\t%s\x00", one.new.mode, id, one.name)
	}
	if err := output.Flush(); err != nil {
		return err
	}
	return file.Close()
}
