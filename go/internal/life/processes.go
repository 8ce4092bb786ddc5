package life

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const kernelThread = 0x00200000 // PF_KTHREAD

// userProcesses lists the processes of the guest but PID 1, kernel threads and the dead.
func userProcesses() ([]int, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err == nil && isAlive(string(stat)) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// isAlive reads /proc/<pid>/stat. The command may hold spaces and parentheses: the fields begin behind the last one.
func isAlive(stat string) bool {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 7 || fields[0] == "Z" || fields[0] == "X" {
		return false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&kernelThread == 0
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
		if pids, err := userProcesses(); err == nil && len(pids) == 0 {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}
