// Package procfs lists the processes that there are, as /proc knows them.
package procfs

import (
	"os"
	"strconv"
	"strings"
)

const (
	kernelThread = 0x00200000 // PF_KTHREAD
	// The kernel counts processor time in hundredths of a second for everybody, whatever it ticks with.
	msPerTick = 10
)

// Process is what /proc/<pid>/stat says.
type Process struct {
	PID, Parent, Session int
	// Name may hold anything.
	Name, State string
	CPUMs       uint64
	// StartedMs is counted from the machine's beginning.
	StartedMs     uint64
	ResidentBytes uint64
	flags         uint64
}

// IsKernel says whether it is a thread of the kernel.
func (p Process) IsKernel() bool { return p.flags&kernelThread != 0 }

// IsDead says whether it only waits to be collected.
func (p Process) IsDead() bool { return p.State == "Z" || p.State == "X" }

// PIDs are those of all processes and of the kernel's threads.
func PIDs() ([]int, error) {
	directory, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer directory.Close()
	names, err := directory.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	found := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			found = append(found, pid)
		}
	}
	return found, nil
}

// Read says false for a process that is gone.
func Read(pid int) (Process, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return Process{}, false
	}
	return parse(pid, string(text))
}

// Living are all processes but the kernel's threads and the dead.
func Living() ([]Process, error) {
	pids, err := PIDs()
	if err != nil {
		return nil, err
	}
	found := make([]Process, 0, len(pids))
	for _, pid := range pids {
		if process, ok := Read(pid); ok && !process.IsKernel() && !process.IsDead() {
			found = append(found, process)
		}
	}
	return found, nil
}

// parse: the name may hold anything, so the fields begin behind the last bracket.
func parse(pid int, text string) (Process, bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return Process{}, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 22 {
		return Process{}, false
	}
	number := func(at int) uint64 {
		value, _ := strconv.ParseUint(fields[at], 10, 64)
		return value
	}
	return Process{
		PID:           pid,
		Parent:        int(number(1)),
		Session:       int(number(3)),
		Name:          text[open+1 : end],
		State:         fields[0],
		CPUMs:         (number(11) + number(12)) * msPerTick,
		StartedMs:     number(19) * msPerTick,
		ResidentBytes: number(21) * uint64(os.Getpagesize()),
		flags:         number(6),
	}, true
}
