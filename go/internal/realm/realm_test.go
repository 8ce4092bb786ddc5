//go:build guest

// These tests make namespaces, which not every machine allows: test/vm/freezer.test.ts runs them in a guest.

package realm

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"banger.dev/banger/internal/reaper"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == StageArgument {
		Stage(os.Args[2])
	}
	os.Exit(m.Run())
}

// program is a shell script with the words of an init.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// started is a realm that ends with the test.
func started(t *testing.T, script string) *Realm {
	t.Helper()
	r, err := Start(program(t, script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		current.Store(nil)
		_ = r.Signal(unix.SIGKILL)
		await(t, r)
	})
	return r
}

func await(t *testing.T, r *Realm) {
	t.Helper()
	select {
	case <-r.Done():
	case <-time.After(30 * time.Second):
		t.Fatal("the init did not end within 30 s")
	}
}

// inside runs a script where the guest's users are.
func inside(t *testing.T, script string) (output string, pid int) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cmd := &exec.Cmd{Path: "/bin/sh", Args: []string{"sh", "-c", script + "; read wait"}, Stdout: writer}
	hold, release, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin = hold
	var child *reaper.Child
	if err := Inside(func() (err error) {
		child, err = reaper.Start(cmd)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	pid = PID(child.PID)
	release.Close()
	hold.Close()
	writer.Close()
	text, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	child.Wait()
	return strings.TrimSpace(string(text)), pid
}

func TestProcessesAreInsideWithTheirOwnNumbers(t *testing.T) {
	started(t, "exec sleep 1000")
	text, pid := inside(t, `echo $$ $(cat /proc/1/comm) $(test -e /proc/`+fmt.Sprint(os.Getpid())+`/exe && readlink /proc/self)`)
	if !strings.HasPrefix(text, fmt.Sprintf("%d sleep", pid)) {
		t.Errorf("inside said %q, its number is %d", text, pid)
	}
}

func TestMountsOfInsideShowOutside(t *testing.T) {
	started(t, "exec sleep 1000")
	directory := t.TempDir()
	inside(t, "mount -t tmpfs none "+directory+" && echo there > "+directory+"/f")
	if content, err := os.ReadFile(directory + "/f"); string(content) != "there\n" {
		t.Errorf("outside is %q, %v", content, err)
	}
	inside(t, "umount "+directory)
	if _, err := os.Stat(directory + "/f"); err == nil {
		t.Error("what was unmounted inside is still there outside")
	}
}

func TestBootIDIsShownInside(t *testing.T) {
	started(t, "exec sleep 1000")
	want, err := os.ReadFile(bootID)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := inside(t, "cat "+bootID); text != strings.TrimSpace(string(want)) {
		t.Errorf("inside is %q, outside %q", text, want)
	}
}

func TestStartsAtTheSameTime(t *testing.T) {
	started(t, "exec sleep 1000")
	var group sync.WaitGroup
	for range 3 * maxIdle {
		group.Go(func() {
			if text, _ := inside(t, "cat /proc/1/comm"); text != "sleep" {
				t.Errorf("inside said %q", text)
			}
		})
	}
	group.Wait()
}

func TestTheEndOfTheInitEndsAllInside(t *testing.T) {
	r := started(t, "exec sleep 1000")
	var child *reaper.Child
	if err := Inside(func() (err error) {
		child, err = reaper.Start(&exec.Cmd{Path: "/bin/sleep", Args: []string{"sleep", "1000"}})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := r.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, r)
	select {
	case <-child.Done():
	case <-time.After(30 * time.Second):
		t.Error("what ran inside went on")
	}
	if r.End() != "by signal SIGKILL" {
		t.Errorf("it ended %s", r.End())
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	script := program(t, "true")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/no/such/init": "/no/such/init: no such file or directory",
		"/etc/hostname": "/etc/hostname: it is no program",
		"/etc":          "/etc: it is no program",
		script:          script + ": no such file or directory",
	} {
		r, err := Start(path)
		if err == nil || err.Error() != want {
			t.Errorf("Start(%q) = %v, %v, want %q", path, r, err, want)
		}
	}
	if current.Load() != nil {
		t.Error("processes would start where there is no init")
	}
}
