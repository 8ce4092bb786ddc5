// Package inspect shows what goes on in the guest: its processes and the sockets that they listen on, read from /proc.
package inspect

import (
	"os"
	"strconv"
	"strings"
)

const (
	kernelThread = 0x00200000 // PF_KTHREAD
	// The kernel counts processor time in hundredths of a second for everybody, whatever it ticks with.
	msPerTick    = 10
	commandBytes = 512
)

// stat is what /proc/<pid>/stat says.
type stat struct {
	pid, parent uint32
	name, state string
	cpuMs       uint64
	// Of the machine, when the process began.
	startedMs     uint64
	residentBytes uint64
}

// readStat says false for a process that is gone, and for a thread of the kernel.
func readStat(pid int) (stat, bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return stat{}, false
	}
	return parseStat(uint32(pid), string(text))
}

// parseStat: the name may hold anything, so the fields begin behind the last bracket.
func parseStat(pid uint32, text string) (stat, bool) {
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return stat{}, false
	}
	fields := strings.Fields(text[end+1:])
	if len(fields) < 22 {
		return stat{}, false
	}
	number := func(at int) uint64 {
		value, _ := strconv.ParseUint(fields[at], 10, 64)
		return value
	}
	if number(6)&kernelThread != 0 {
		return stat{}, false
	}
	return stat{
		pid:           pid,
		parent:        uint32(number(1)),
		name:          text[open+1 : end],
		state:         fields[0],
		cpuMs:         (number(11) + number(12)) * msPerTick,
		startedMs:     number(19) * msPerTick,
		residentBytes: number(21) * uint64(os.Getpagesize()),
	}, true
}

// command is the command line of a process, its name in brackets when it has none.
func command(s stat) string {
	file, err := os.Open("/proc/" + strconv.Itoa(int(s.pid)) + "/cmdline")
	if err == nil {
		defer file.Close()
		buffer := make([]byte, commandBytes)
		read, _ := file.Read(buffer)
		if line := strings.TrimRight(strings.ReplaceAll(string(buffer[:read]), "\x00", " "), " "); line != "" {
			return strings.ToValidUTF8(line, "\uFFFD")
		}
	}
	return "[" + strings.ToValidUTF8(s.name, "\uFFFD") + "]"
}

// pids lists the processes that there are.
func pids() ([]int, error) {
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
