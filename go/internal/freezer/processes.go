package freezer

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"banger.dev/banger/internal/procfs"
)

const (
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
	process, ok := procfs.Read(pid)
	return !ok || process.IsKernel() || process.IsDead()
}

// hasKthreadd says whether kthreadd has the number that it has in a guest, and not where processes are numbered anew.
var hasKthreadd = sync.OnceValue(func() bool {
	process, ok := procfs.Read(kthreadd)
	return ok && process.IsKernel()
})

// countProcesses counts what is in /proc and not in except.
func countProcesses(except map[int]bool) int {
	pids, _ := procfs.PIDs()
	count := 0
	for _, pid := range pids {
		if !except[pid] {
			count++
		}
	}
	return count
}

// restless names a process that runs or cannot be interrupted, for the error of a freeze that failed.
func restless() string {
	pids, _ := procfs.PIDs()
	for _, pid := range pids {
		if SparePID1(pid) {
			continue
		}
		if found, ok := procfs.Read(pid); ok && (found.State == "R" || found.State == "D") {
			return fmt.Sprintf(": %s is in state %s", describe(pid), found.State)
		}
	}
	return ""
}
