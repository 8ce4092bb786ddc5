package identity

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPlanHosts(t *testing.T) {
	cases := []struct{ name, old, want string }{
		{"empty", "", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tdemo # this guest\n"},
		{"kept lines", "127.0.0.1 localhost\n10.0.0.1 db # this one\n", "127.0.0.1 localhost\n10.0.0.1 db # this one\n127.0.1.1\tdemo # this guest\n"},
		{"renamed guest", "127.0.0.1 localhost\n127.0.1.1\told # this guest\n", "127.0.0.1 localhost\n127.0.1.1\tdemo # this guest\n"},
	}
	for _, c := range cases {
		got := PlanHosts(c.old, "demo")
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if again := PlanHosts(got, "demo"); again != got {
			t.Errorf("%s: a second boot changes the file: %q", c.name, again)
		}
	}
}

func TestReservedNamesAreNobodysAndAreWrittenOver(t *testing.T) {
	etc, lib := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(etc, "hosts"), []byte("10.0.0.1 db\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(etc, "hostname")); err != nil {
		t.Fatal(err)
	}
	if err := ReserveNames(etc, lib); err != nil {
		t.Fatal(err)
	}
	const hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.1 db\n"
	for name, want := range map[string]string{"hostname": "", "hosts": hosts, "machine-id": MachineID("") + "\n"} {
		if got, err := os.ReadFile(filepath.Join(etc, name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	inode := func(name string) uint64 {
		var status unix.Stat_t
		if err := unix.Lstat(filepath.Join(etc, name), &status); err != nil {
			t.Fatal(err)
		}
		return status.Ino
	}
	before := inode("hosts")
	if err := setHosts(etc, "demo"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(etc, "hosts")); err != nil || string(got) != hosts+"127.0.1.1\tdemo # this guest\n" || inode("hosts") != before {
		t.Errorf("hosts holds %q, %v", got, err)
	}
}

func TestCheckHostname(t *testing.T) {
	for name, usable := range map[string]bool{"a": true, "web-1.vm": true, "": false, "-a": false, "a b": false, "a\n1.2.3.4 bank": false} {
		if err := CheckHostname(name); (err == nil) != usable {
			t.Errorf("CheckHostname(%q) = %v", name, err)
		}
	}
}

func TestMachineIDIsStableAndDifferent(t *testing.T) {
	if len(MachineID("a")) != 32 || MachineID("a") != MachineID("a") || MachineID("a") == MachineID("b") {
		t.Fatalf("a: %s, b: %s", MachineID("a"), MachineID("b"))
	}
}

func TestMachineIDIsWrittenWhereDBusKeepsACopy(t *testing.T) {
	etc, lib := t.TempDir(), t.TempDir()
	copied := filepath.Join(lib, "dbus/machine-id")
	if err := SetMachineID(etc, lib, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(copied); err == nil {
		t.Fatal("a copy was made where there was none")
	}
	if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, []byte("old\n"), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := SetMachineID(etc, lib, "a"); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{copied, filepath.Join(etc, "machine-id")} {
		if got, err := os.ReadFile(path); err != nil || string(got) != MachineID("a")+"\n" {
			t.Errorf("%s holds %q, %v", path, got, err)
		}
	}
}

func TestCheckBootID(t *testing.T) {
	for id, usable := range map[string]bool{
		"": true, "12345678-90ab-4cde-8f01-23456789abcd": true, "12345678-90ab-4cde-8f01-23456789abc": false,
		"12345678-90ab-4cde-8f01-23456789ABCD": false, "12345678090ab-4cde-8f01-23456789abcd": false,
		"12345678-90ab-4cde-8f01-23456789abc\n": false, "------------------------------------": false,
	} {
		if err := CheckBootID(id); (err == nil) != usable {
			t.Errorf("CheckBootID(%q) = %v", id, err)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	etc := t.TempDir()
	pipe, large := filepath.Join(etc, "pipe"), filepath.Join(etc, "large")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readFile(pipe); len(got) > 0 || err != nil {
		t.Errorf("a pipe: %q, %v", got, err)
	}
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<40); err != nil {
		t.Fatal(err)
	}
	if got, err := readFile(large); err == nil {
		t.Errorf("a file of 1 TiB was read: %d bytes", len(got))
	}
	if err := writeFile(large, []byte("small"), 0o600); err != nil {
		t.Error(err)
	}
}

func TestNameServersReplaceALink(t *testing.T) {
	etc := t.TempDir()
	outside := filepath.Join(t.TempDir(), "stub")
	if err := os.Symlink(outside, filepath.Join(etc, "resolv.conf")); err != nil {
		t.Fatal(err)
	}
	if err := SetNameServers(etc, []string{"10.0.2.3", "fd00::1"}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(etc, "resolv.conf"))
	if err != nil || string(got) != "nameserver 10.0.2.3\nnameserver fd00::1\n" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Fatal("the link was followed")
	}
}
