package life

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"banger.dev/banger/internal/procfs"
)

// userProcesses counts the processes of the guest but this one. It fails where /proc does not show even this one: then a user of the guest has
// covered it.
func userProcesses() (int, error) {
	living, err := procfs.Living()
	if err != nil {
		return 0, err
	}
	count, seen := 0, false
	for _, process := range living {
		if process.PID == os.Getpid() {
			seen = true
		} else {
			count++
		}
	}
	if !seen {
		return 0, errors.New("/proc does not show the processes of this guest")
	}
	return count, nil
}

const killWait = 2 * time.Second

// endProcesses asks every process to end, and after the grace ends those that remain. HUP is what interactive shells
// obey; CONT wakes the stopped.
func endProcesses(grace time.Duration) {
	if noneLeft(0) {
		return
	}
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGCONT} {
		_ = unix.Kill(-1, signal)
	}
	if noneLeft(grace) {
		return
	}
	_ = unix.Kill(-1, unix.SIGKILL)
	noneLeft(killWait)
}

// noneLeft waits until no process is left, looking less often the longer it takes.
func noneLeft(timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for pause := 2 * time.Millisecond; ; pause = min(pause*2, 50*time.Millisecond) {
		if count, err := userProcesses(); err == nil && count == 0 {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}
