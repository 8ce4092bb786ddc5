package reaper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const patience = 20 * time.Second

// TestMain lets the test binary be the subreaper that a test looks at from outside.
func TestMain(m *testing.M) {
	if os.Getenv("REAPER_TEST_ROLE") == "subreaper" {
		if err := beSubreaper(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestChildrenOfAnOrdinaryProcess(t *testing.T) {
	if err := startMany(); err != nil {
		t.Error(err)
	}
}

func TestSubreaperCollectsOrphansAndKeepsStatuses(t *testing.T) {
	self := exec.Command("/proc/self/exe")
	self.Env = append(os.Environ(), "REAPER_TEST_ROLE=subreaper")
	if output, err := self.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

func TestSignalAfterTheEnd(t *testing.T) {
	child, err := Start(exec.Command("/bin/true"))
	if err != nil {
		t.Fatal(err)
	}
	child.Wait()
	if err := child.SignalGroup(syscall.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("signal to a dead child: %v", err)
	}
}

func TestStartRefusesStreamsThatNeedCopying(t *testing.T) {
	if _, err := Start(&exec.Cmd{Path: "/bin/true", Stdout: &bytes.Buffer{}}); err == nil {
		t.Error("a buffer as stdout was accepted")
	}
}

func beSubreaper() error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return err
	}
	Run()
	Run()
	// A failed execve leaves a child that os/exec itself collects: the loop must not take it away.
	for range 20 {
		if _, err := Start(exec.Command("/no/such/program")); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("start of nothing: %v", err)
		}
	}
	if err := startMany(); err != nil {
		return err
	}
	// Orphans: the middle process ends at once, and its children become ours.
	child, err := Start(exec.Command("/bin/sh", "-c", "for i in 1 2 3 4 5; do (sleep 0.1) & done; exit 7"))
	if err != nil {
		return err
	}
	if status := child.Wait(); status.ExitStatus() != 7 {
		return fmt.Errorf("status %v, want exit 7", status)
	}
	deadline := time.Now().Add(patience)
	for {
		children, err := childrenOf(os.Getpid())
		if err != nil || len(children) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("orphans were not collected: %v", children)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// startMany runs many short processes at once and checks that each status arrives at its own child.
func startMany() error {
	var group sync.WaitGroup
	failures := make(chan error, 64)
	for code := range cap(failures) {
		group.Go(func() {
			child, err := Start(exec.Command("/bin/sh", "-c", fmt.Sprintf("exit %d", code)))
			if err != nil {
				failures <- err
			} else if status := child.Wait(); status.ExitStatus() != code {
				failures <- fmt.Errorf("exit %d arrived as %v", code, status)
			}
		})
	}
	group.Wait()
	close(failures)
	return <-failures
}

func childrenOf(parent int) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var children []string
	for _, entry := range entries {
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) > 1 && fields[1] == fmt.Sprint(parent) {
			children = append(children, string(stat))
		}
	}
	return children, nil
}
