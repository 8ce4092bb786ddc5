package identity

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func gitConfig(t *testing.T, home, key string) string {
	t.Helper()
	out, _ := exec.Command("git", "config", "--file", filepath.Join(home, ".gitconfig"), key).Output()
	return strings.TrimSuffix(string(out), "\n")
}

func TestGitUserIsAddedWhereThereIsNone(t *testing.T) {
	user := GitUser{Name: `Ada "L" \ Lovelace; # x`, Email: "ada@example.org"}
	for _, before := range []string{"", "[core]\n\tpager = cat", "[user]\n\tsigningkey = 1\n", "[user \"x\"]\nname = y\n"} {
		home := t.TempDir()
		if before != "" {
			if err := os.WriteFile(home+"/.gitconfig", []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := AddGitUser(home, user); err != nil {
				t.Fatal(err)
			}
		}
		if name, email := gitConfig(t, home, "user.name"), gitConfig(t, home, "user.email"); name != user.Name || email != user.Email {
			t.Errorf("after %q: %q, %q", before, name, email)
		}
		text, _ := os.ReadFile(home + "/.gitconfig")
		if !strings.HasPrefix(string(text), before) || strings.Count(string(text), "ada@example.org") != 1 {
			t.Errorf("after %q the file holds %q", before, text)
		}
	}
}

func TestAGitUserThatIsThereStays(t *testing.T) {
	for _, before := range []string{"[user]\n\tname = Me\n", "[User] Email=me@example.org\n", "[core]\na=b\n[ user ]\n  email = x"} {
		home := t.TempDir()
		if err := os.WriteFile(home+"/.gitconfig", []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := AddGitUser(home, GitUser{Name: "Ada"}); err != nil {
			t.Fatal(err)
		}
		if text, _ := os.ReadFile(home + "/.gitconfig"); string(text) != before {
			t.Errorf("%q became %q", before, text)
		}
	}
}

func TestGitConfigThatIsNoFileIsLeftAlone(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	for _, plant := range []func(path string) error{
		func(path string) error { return os.Symlink(outside, path) },
		func(path string) error { return unix.Mkfifo(path, 0o600) },
		func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		home := t.TempDir()
		if err := plant(home + "/.gitconfig"); err != nil {
			t.Fatal(err)
		}
		if err := AddGitUser(home, GitUser{Name: "Ada"}); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("the link was followed")
	}
}

func TestGitUsersThatAreNoneAreRefused(t *testing.T) {
	for _, user := range []GitUser{{Name: "a\nb"}, {Email: "a\x00"}, {Name: strings.Repeat("x", 1025)}} {
		if user.Check() == nil {
			t.Errorf("%q was taken", user)
		}
	}
	if err := (GitUser{Name: "Ada", Email: ""}).Check(); err != nil {
		t.Error(err)
	}
}
