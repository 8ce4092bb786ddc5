package process

import (
	"syscall"
	"time"

	"banger.dev/banger/internal/procfs"
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
	living, _ := procfs.Living()
	for _, entry := range living {
		if !family[entry.PID] {
			continue
		}
		alive = true
		if entry.PID == r.child.PID {
			_ = r.child.Signal(syscall.SIGKILL)
		} else {
			_ = syscall.Kill(entry.PID, syscall.SIGKILL)
		}
	}
	return alive
}

// addRelatives adds the living members of the session and the children of those in family, and reports whether any was new.
func addRelatives(family map[int]bool, session int) bool {
	processes, _ := procfs.Living()
	added := false
	for again := true; again; {
		again = false
		for _, entry := range processes {
			if !family[entry.PID] && (entry.Session == session || family[entry.Parent]) {
				family[entry.PID] = true
				again, added = true, true
			}
		}
	}
	return added
}
