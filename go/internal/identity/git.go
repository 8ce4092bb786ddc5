package identity

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// GitUser is who commits are by. Either may be empty.
type GitUser struct {
	Name, Email string
}

const (
	maxGitValueBytes = 1024
	// A file of git's that is larger is none that we write to.
	maxGitConfigBytes = 1 << 20
)

// Check fails for what cannot stand on one line.
func (u GitUser) Check() error {
	for _, value := range []string{u.Name, u.Email} {
		if len(value) > maxGitValueBytes || strings.ContainsFunc(value, unicode.IsControl) {
			return fmt.Errorf("git_identity: %q is no name or email", value)
		}
	}
	return nil
}

// AddGitUser adds the user to .gitconfig of a home directory, unless that names one already or is no plain file.
func AddGitUser(home string, user GitUser) error {
	if user == (GitUser{}) {
		return nil
	}
	path := filepath.Join(home, ".gitconfig")
	// What an earlier life of the guest left there is not trusted: neither a link is followed nor a pipe waited for.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_APPEND|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o644)
	if err == unix.ELOOP || err == unix.EISDIR {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxGitConfigBytes {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxGitConfigBytes))
	if err != nil || namesGitUser(string(text)) {
		return err
	}
	section := gitSection(user)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		section = "\n" + section
	}
	if _, err := file.WriteString(section); err != nil {
		return err
	}
	return file.Close()
}

func gitSection(user GitUser) string {
	var section strings.Builder
	section.WriteString("[user]\n")
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for _, entry := range []struct{ key, value string }{{"name", user.Name}, {"email", user.Email}} {
		if entry.value != "" {
			fmt.Fprintf(&section, "\t%s = \"%s\"\n", entry.key, escape.Replace(entry.value))
		}
	}
	return section.String()
}

// namesGitUser says whether a section "user" sets a name or an email.
func namesGitUser(text string) bool {
	inUser := false
	for line := range strings.Lines(text) {
		line = strings.ToLower(strings.TrimSpace(line))
		if header, found := strings.CutPrefix(line, "["); found {
			section, rest, _ := strings.Cut(header, "]")
			inUser = strings.TrimSpace(section) == "user"
			line = strings.TrimSpace(rest)
		}
		key, _, _ := strings.Cut(line, "=")
		if key = strings.TrimSpace(key); inUser && (key == "name" || key == "email") {
			return true
		}
	}
	return false
}
