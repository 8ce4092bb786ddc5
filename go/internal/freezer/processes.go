package freezer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	kernelThread = 0x00200000 // PF_KTHREAD
	// kthreadd is the parent of the kernel's own threads.
	kthreadd = 2
	kcmpVM   = 1 // KCMP_VM
)

// SparePID1 spares the agent, the kernel's own threads and the dead: the rule of a guest.
func SparePID1(pid int) bool {
	if pid == os.Getpid() {
		return true
	}
	// Threads of the kernel share the absence of memory. Asking for that takes a small part of the time that /proc takes, and a
	// guest has a hundred of them; not every kernel can tell.
	if hasKthreadd() {
		different, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), kthreadd, kcmpVM, 0, 0, 0)
		if errno == unix.ESRCH || errno == 0 && different == 0 {
			return true
		}
	}
	stat, ok := readStat(pid)
	return !ok || stat.flags&kernelThread != 0 || stat.state == "Z" || stat.state == "X"
}

// hasKthreadd says whether kthreadd has the number that it has in a guest, and not where processes are numbered anew.
var hasKthreadd = sync.OnceValue(func() bool {
	stat, ok := readStat(kthreadd)
	return ok && stat.flags&kernelThread != 0
})

type stat struct {
	state string
	flags uint64
}

// readStat reads /proc/<pid>/stat. The command may hold anything: the fields begin behind the last bracket.
func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, false
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 7 {
		return stat{}, false
	}
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return stat{state: fields[0], flags: flags}, err == nil
}

// countProcesses counts what is in /proc and not in except.
func countProcesses(except map[int]bool) int {
	proc, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	count := 0
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && !except[pid] {
			count++
		}
	}
	return count
}

// restless names a process that runs or cannot be interrupted, for the error of a freeze that failed.
func restless() string {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return ""
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || SparePID1(pid) {
			continue
		}
		if found, ok := readStat(pid); ok && (found.state == "R" || found.state == "D") {
			return fmt.Sprintf(": %s is in state %s", describe(pid), found.state)
		}
	}
	return ""
}
