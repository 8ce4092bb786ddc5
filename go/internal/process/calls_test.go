package process

import (
	"context"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"banger.dev/banger/internal/guest"
)

// A stopped process stands for a frozen one: both end by KILL alone.
func TestEndAbandonedReturnsWhenTheyAreDead(t *testing.T) {
	service := NewService(guest.NewRunning(guest.Config{}))
	pidFile := t.TempDir() + "/pid"
	gone, leave := context.WithCancel(context.Background())
	abandoned, err := service.start(Command{Argv: []string{"sh", "-c", "(sleep 600 & echo $! > " + pidFile + "; kill -STOP $!); kill -STOP $$"}}, caller{ctx: gone})
	if err != nil {
		t.Fatal(err)
	}
	defer abandoned.Close()
	kept, err := service.start(Command{Argv: []string{"sleep", "600"}}, caller{ctx: context.Background()})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	defer kept.Kill()
	for deadline := time.Now().Add(patience); stateOf(abandoned.PID()) != "T"; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the process is in state %q, not stopped", stateOf(abandoned.PID()))
		}
	}
	leave()
	if err := service.EndAbandoned(patience); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{abandoned.PID(), child} {
		if state := stateOf(pid); state != "" && state != "Z" {
			t.Errorf("process %d of a caller that is gone is in state %s", pid, state)
		}
	}
	if state := stateOf(kept.PID()); state == "" || state == "Z" {
		t.Error("the process of a caller that waits is dead")
	}
}

func TestFrozenGuestsStartNothing(t *testing.T) {
	state := guest.NewRunning(guest.Config{})
	if err := state.BeginFreeze(time.Minute); err != nil {
		t.Fatal(err)
	}
	over, end := context.WithCancel(context.Background())
	end()
	if running, err := NewService(state).start(Command{Argv: []string{"true"}}, caller{ctx: over}); err == nil {
		running.Close()
		t.Fatal("a process was started in a frozen guest")
	}
	waiting := make(chan error, 1)
	go func() { waiting <- state.AwaitThaw(context.Background()) }()
	if state.AwaitThaw(over) == nil {
		t.Error("waited for the thaw for nobody")
	}
	state.Thawed()
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}

// stateOf is the letter of /proc/<pid>/stat; empty when there is no such process.
func stateOf(pid int) string {
	if syscall.Kill(pid, 0) != nil {
		return ""
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	return strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[0]
}

func TestStopMainAsksWhatHasAStopSignal(t *testing.T) {
	service := NewService(guest.NewRunning(guest.Config{}))
	start := func(script string, signal syscall.Signal) *Running {
		t.Helper()
		running, err := service.start(Command{Argv: []string{"sh", "-c", script}}, caller{ctx: t.Context(), stopSignal: signal})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			running.Kill()
			running.Close()
		})
		// It says so when its trap is set.
		if _, err := running.stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return running
	}
	const loop = "; echo; while :; do sleep 600 & wait $!; done"
	asked := start("trap 'kill -9 $!; exit 42' QUIT; trap '' TERM"+loop, syscall.SIGQUIT)
	other := start("trap 'exit 43' QUIT"+loop, 0)
	service.StopMain(patience)
	if status := asked.child.Wait(); status.ExitStatus() != 42 {
		t.Errorf("the process with a stop signal ended with %v", status)
	}
	deaf := start("trap '' USR1"+loop, syscall.SIGUSR1)
	service.StopMain(time.Millisecond)
	for _, running := range []*Running{other, deaf} {
		select {
		case <-running.Done():
			t.Errorf("process %d ended, which was not asked or does not listen", running.PID())
		default:
		}
	}
}
