package freezer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

const kernelThread = 0x00200000 // PF_KTHREAD

// SparePID1 spares the agent and the kernel's own threads: the rule of a guest.
func SparePID1(pid int) bool {
	if pid == os.Getpid() {
		return true
	}
	stat, ok := readStat(pid)
	return !ok || stat.flags&kernelThread != 0 || stat.state == "Z" || stat.state == "X"
}

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
