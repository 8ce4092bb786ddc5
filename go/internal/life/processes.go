package life

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"banger.dev/banger/internal/procfs"
)

// userProcesses counts the processes of the guest but this one.
func userProcesses() (int, error) {
	living, err := procfs.Living()
	count := 0
	for _, process := range living {
		if process.PID != os.Getpid() {
			count++
		}
	}
	return count, err
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
