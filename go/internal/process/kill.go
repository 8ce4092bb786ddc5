package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// killRounds bounds the hunt for processes that fork while they are hunted.
const killRounds = 16

// Kill ends the process, its group, its session and its descendants at once. When the main process has ended already,
// nothing happens: what it left in the background was meant to stay.
func (r *Running) Kill() {
	family := map[int]bool{r.child.PID: true}
	addRelatives(family, r.child.PID)
	if r.child.SignalGroup(syscall.SIGKILL) != nil {
		return
	}
	for range killRounds {
		for pid := range family {
			if pid != r.child.PID {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if !addRelatives(family, r.child.PID) {
			return
		}
	}
}

// end kills as Kill does and waits until all of it is dead.
func (r *Running) end(deadline time.Time) bool {
	family := map[int]bool{r.child.PID: true}
	addRelatives(family, r.child.PID)
	r.Kill()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if !r.killRest(family) {
			return true
		}
		if !time.Now().Before(deadline) {
			return false
		}
		time.Sleep(pause)
	}
}

// killRest kills again what is alive of the family, and reports whether there was any.
func (r *Running) killRest(family map[int]bool) bool {
	alive := false
	for _, entry := range listProcesses() {
		if !family[entry.pid] {
			continue
		}
		alive = true
		if entry.pid == r.child.PID {
			_ = r.child.Signal(syscall.SIGKILL)
		} else {
			_ = syscall.Kill(entry.pid, syscall.SIGKILL)
		}
	}
	return alive
}

// addRelatives adds the living members of the session and the children of those in family, and reports whether any was new.
func addRelatives(family map[int]bool, session int) bool {
	processes := listProcesses()
	added := false
	for again := true; again; {
		again = false
		for _, entry := range processes {
			if !family[entry.pid] && (entry.session == session || family[entry.parent]) {
				family[entry.pid] = true
				again, added = true, true
			}
		}
	}
	return added
}

type processEntry struct{ pid, parent, session int }

// listProcesses reads /proc; dead processes that wait to be collected are left out.
func listProcesses() []processEntry {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	var entries []processEntry
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		// The command name may hold anything, so count from its closing bracket: state, ppid, pgrp, session.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(fields) < 4 || fields[0][0] == 'Z' || fields[0][0] == 'X' {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		session, _ := strconv.Atoi(string(fields[3]))
		entries = append(entries, processEntry{pid: pid, parent: parent, session: session})
	}
	return entries
}
