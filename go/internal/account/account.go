// Package account looks up users and groups in /etc/passwd and /etc/group. It has its own parser because the agent is
// static (no NSS) and an image may lack both files: root and bare numbers work in every image.
package account

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Account is the identity that a process gets.
type Account struct {
	// Name is empty for a uid that has no line in the passwd file.
	Name string
	UID  uint32
	GID  uint32
	// Groups are the supplementary groups, GID not necessarily among them.
	Groups []uint32
	// Home is "/" when nothing is known.
	Home string
	// Shell is empty when nothing is known.
	Shell string
}

// ErrUnknown is wrapped by errors about a user or group that does not exist.
var ErrUnknown = errors.New("no such user or group")

// Files are the databases to read. A missing file counts as empty.
type Files struct {
	Passwd, Group string
}

// System are the databases of this machine.
var System = Files{Passwd: "/etc/passwd", Group: "/etc/group"}

// maxDatabaseBytes bounds what one lookup reads of a hostile file.
const maxDatabaseBytes = 8 << 20

// Lookup resolves "name", "uid", "name:group" or "uid:gid". Empty means root. An explicit group replaces the primary
// group and, as in container engines, takes the supplementary groups away. A number needs no line in either file.
func (f Files) Lookup(spec string) (Account, error) {
	user, group, hasGroup := strings.Cut(spec, ":")
	if user == "" {
		user = "root"
	}
	account, err := f.user(user)
	if err != nil {
		return Account{}, err
	}
	if hasGroup && group != "" {
		account.Groups = nil
		account.GID, err = f.group(group)
		return account, err
	}
	if account.Name != "" {
		account.Groups, err = f.memberships(account.Name)
	}
	return account, err
}

func (f Files) user(user string) (Account, error) {
	uid, numeric := parseID(user)
	var byName, byUID *Account
	err := eachLine(f.Passwd, 7, func(fields []string) {
		lineUID, okUID := parseID(fields[2])
		gid, okGID := parseID(fields[3])
		if !okUID || !okGID {
			return
		}
		line := &Account{Name: fields[0], UID: lineUID, GID: gid, Home: fields[5], Shell: fields[6]}
		if byName == nil && fields[0] == user {
			byName = line
		}
		if byUID == nil && numeric && lineUID == uid {
			byUID = line
		}
	})
	if err != nil {
		return Account{}, err
	}
	found := byName
	if found == nil {
		found = byUID
	}
	switch {
	case found != nil:
	case user == "root" || (numeric && uid == 0):
		found = &Account{Name: "root", Home: "/root"}
	case numeric:
		found = &Account{UID: uid, Home: "/"}
	default:
		return Account{}, fmt.Errorf("user %q is not in %s: %w", user, f.Passwd, ErrUnknown)
	}
	if found.Home == "" {
		found.Home = "/"
	}
	return *found, nil
}

func (f Files) group(group string) (uint32, error) {
	var gid uint32
	found := false
	err := eachLine(f.Group, 3, func(fields []string) {
		if id, ok := parseID(fields[2]); ok && !found && fields[0] == group {
			gid, found = id, true
		}
	})
	if err != nil {
		return 0, err
	}
	if !found {
		if gid, found = parseID(group); !found && group == "root" {
			gid, found = 0, true
		}
	}
	if !found {
		return 0, fmt.Errorf("group %q is not in %s: %w", group, f.Group, ErrUnknown)
	}
	return gid, nil
}

func (f Files) memberships(name string) ([]uint32, error) {
	var groups []uint32
	err := eachLine(f.Group, 4, func(fields []string) {
		id, ok := parseID(fields[2])
		if ok && slices.Contains(strings.Split(fields[3], ","), name) && !slices.Contains(groups, id) {
			groups = append(groups, id)
		}
	})
	return groups, err
}

// eachLine calls visit with the colon-separated fields of each line that has at least fieldCount of them.
func eachLine(path string, fieldCount int, visit func(fields []string)) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxDatabaseBytes))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Split(lines.Text(), ":"); len(fields) >= fieldCount && !strings.HasPrefix(fields[0], "#") {
			visit(fields)
		}
	}
	return lines.Err()
}

func parseID(text string) (uint32, bool) {
	id, err := strconv.ParseUint(text, 10, 32)
	// The last number means "no change" to chown and setuid.
	return uint32(id), err == nil && id != 1<<32-1
}
