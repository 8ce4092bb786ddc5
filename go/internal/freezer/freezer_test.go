//go:build guest

// These tests change cgroups, which not every machine allows: test/vm/freezer.test.ts runs them in a guest.

package freezer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banger.dev/banger/internal/cgroup"
	"golang.org/x/sys/unix"
)

// hierarchy is a cgroup of this guest as the top of one of its own.
func hierarchy(t *testing.T) (*cgroup.Root, string) {
	t.Helper()
	path, err := os.MkdirTemp(cgroup.MountPoint, "banger-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, path) })
	root, err := cgroup.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	return root, path
}

// remove removes a cgroup with those below it.
func remove(t *testing.T, path string) {
	entries, _ := os.ReadDir(path)
	for _, entry := range entries {
		if entry.IsDir() {
			remove(t, filepath.Join(path, entry.Name()))
		}
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}

// counter starts a program in a cgroup that writes to a file for ever, one byte at a time.
func counter(t *testing.T, group, script string) (file string, command *exec.Cmd) {
	t.Helper()
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "count")
	command = exec.Command("sh", "-c", "echo $$ > "+group+"/cgroup.procs; "+fmt.Sprintf(script, file))
	command.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-command.Process.Pid, unix.SIGKILL)
		_ = command.Wait()
	})
	await(t, "the first byte of "+file, func() bool { return size(file) > 0 })
	return file, command
}

const loop = "while :; do printf x >> %s; done"

func await(t *testing.T, what string, seen func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !seen(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

func size(file string) int64 {
	info, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return info.Size()
}

func TestFreezeStopsGroupsAndStrays(t *testing.T) {
	root, top := hierarchy(t)
	files := map[string]string{}
	files["group"], _ = counter(t, top+"/box", loop)
	files["nested"], _ = counter(t, top+"/engine/box", loop)
	var stray *exec.Cmd
	files["stray"], stray = counter(t, top, loop)
	freezer := New(root, func(int) bool { return false })
	for range 3 {
		if err := freezer.Freeze(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		before := map[string]int64{}
		for name, file := range files {
			before[name] = size(file)
		}
		// What runs would write thousands of bytes meanwhile.
		time.Sleep(100 * time.Millisecond)
		for name, file := range files {
			if now := size(file); now != before[name] {
				t.Errorf("%s wrote %d bytes in a frozen hierarchy", name, now-before[name])
			}
		}
		if err := freezer.Thaw(); err != nil {
			t.Fatal(err)
		}
		for name, file := range files {
			await(t, name+" to go on", func() bool { return size(file) > before[name] })
		}
		if own, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", stray.Process.Pid)); !strings.Contains(string(own), "0::"+groupOf(top)+"\n") {
			t.Errorf("the stray is not back in its place: %s", own)
		}
	}
}

func groupOf(path string) string { return "/" + filepath.Base(path) }

func TestWhatUsersFrozeStaysFrozen(t *testing.T) {
	root, top := hierarchy(t)
	file, _ := counter(t, top+"/paused", loop)
	if err := root.Write("paused/cgroup.freeze", "1"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Write("paused/cgroup.freeze", "0") })
	freezer := New(root, func(int) bool { return false })
	if err := freezer.Freeze(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := freezer.Thaw(); err != nil {
		t.Fatal(err)
	}
	if frozen, _ := os.ReadFile(top + "/paused/cgroup.freeze"); string(frozen) != "1\n" {
		t.Errorf("a cgroup that its users froze runs, and wrote %d bytes", size(file))
	}
}

func TestFrozenProcessesCanBeKilled(t *testing.T) {
	root, top := hierarchy(t)
	_, command := counter(t, top+"/box", loop)
	freezer := New(root, func(int) bool { return false })
	if err := freezer.Freeze(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("a frozen process that was killed is not dead after 20 s")
	}
	if err := freezer.Thaw(); err != nil {
		t.Fatal(err)
	}
}

// A process that moves out of a cgroup while it is frozen, again and again, must not outrun the freezer.
func TestFreezeCatchesWhatHopsBetweenGroups(t *testing.T) {
	root, top := hierarchy(t)
	if err := os.Mkdir(top+"/other", 0o755); err != nil {
		t.Fatal(err)
	}
	hop := "while :; do for g in " + top + " " + top + "/other " + top + "/box; do echo $$ > $g/cgroup.procs; printf x >> %s; done; done"
	file, _ := counter(t, top+"/box", hop)
	freezer := New(root, func(int) bool { return false })
	for range 20 {
		if err := freezer.Freeze(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		before := size(file)
		time.Sleep(5 * time.Millisecond)
		if now := size(file); now != before {
			t.Fatalf("wrote %d bytes in a frozen hierarchy", now-before)
		}
		if err := freezer.Thaw(); err != nil {
			t.Fatal(err)
		}
		await(t, "the process to go on", func() bool { return size(file) > before })
	}
}

func TestWhatDoesNotStopFailsTheFreezeAndAllRunsAgain(t *testing.T) {
	root, top := hierarchy(t)
	file, _ := counter(t, top+"/box", loop)
	freezer := New(root, func(int) bool { return false })
	if err := freezer.Freeze(-time.Second); err == nil {
		t.Fatal("a freeze whose time was over before it began has worked")
	}
	before := size(file)
	await(t, "the process to run again", func() bool { return size(file) > before })
	if err := freezer.Freeze(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if err := freezer.Thaw(); err != nil {
		t.Fatal(err)
	}
}
