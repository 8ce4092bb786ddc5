// Package freezer stops every process of the guest but the agent, by means of cgroups, and lets them go on again. Stopped
// processes can still be killed.
package freezer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"banger.dev/banger/internal/cgroup"
	"golang.org/x/sys/unix"
)

// strayGroup takes what runs in the top cgroup, which cannot be frozen itself, until Thaw puts it back.
const strayGroup = "banger-frozen"

const refreezeLimit = 2 * time.Second

// Freezer stops and continues the processes of one cgroup hierarchy.
type Freezer struct {
	root *cgroup.Root
	// spares says of a process in the top cgroup that it is not to be stopped.
	spares func(pid int) bool

	mu sync.Mutex
	// own are the cgroups that this freezer froze: others were frozen by the guest's users and stay so.
	own map[string]bool
	// spared are the processes that the freeze under way has looked at and lets run.
	spared map[int]bool
	frozen bool
}

// New returns a freezer for the hierarchy that spares the processes for which spares says so.
func New(root *cgroup.Root, spares func(pid int) bool) *Freezer {
	return &Freezer{root: root, spares: spares, own: map[string]bool{}}
}

// Freeze returns when no process runs any more but those that are spared. When that does not come to be within the limit,
// all run again and the error names one that did not stop.
func (f *Freezer) Freeze(limit time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen {
		return nil
	}
	if err := f.freeze(time.Now().Add(limit)); err != nil {
		return errors.Join(err, f.thaw())
	}
	f.frozen = true
	return nil
}

// freeze goes over the hierarchy until two rounds in a row have found nothing that could run: a running process may
// make cgroups and move between them.
func (f *Freezer) freeze(deadline time.Time) error {
	f.spared = map[int]bool{}
	for quiet := 0; quiet < 2; {
		changed, err := f.round(deadline)
		if err != nil {
			return err
		}
		quiet++
		if changed {
			quiet = 0
			if !time.Now().Before(deadline) {
				return fmt.Errorf("processes did not stop in time%s", restless())
			}
		}
	}
	return nil
}

// round freezes the cgroups that are not, catches processes outside of them, and reports whether there were any.
func (f *Freezer) round(deadline time.Time) (changed bool, err error) {
	groups, err := f.root.Groups()
	if err != nil {
		return false, err
	}
	for _, name := range groups {
		froze, err := f.freezeGroup(name)
		if err != nil && !cgroup.IsGone(err) {
			return false, fmt.Errorf("freeze cgroup %s: %w", name, err)
		}
		changed = changed || froze
	}
	for _, name := range groups {
		if err := f.awaitFrozen(name, deadline); err != nil && !cgroup.IsGone(err) {
			return false, err
		}
	}
	caught, err := f.catchStrays()
	return changed || caught, err
}

func (f *Freezer) freezeGroup(name string) (changed bool, err error) {
	file, err := f.root.Open(name+"/cgroup.freeze", unix.O_RDWR)
	if err != nil {
		return false, err
	}
	defer file.Close()
	var value [2]byte
	if n, err := file.ReadAt(value[:], 0); err != nil && err != io.EOF || n == 0 {
		return false, err
	}
	if value[0] == '1' {
		return false, nil
	}
	if _, err := file.WriteAt([]byte("1"), 0); err != nil {
		return false, err
	}
	f.own[name] = true
	return true, nil
}

// awaitFrozen waits until the kernel says that every process in the cgroup has stopped.
func (f *Freezer) awaitFrozen(name string, deadline time.Time) error {
	file, err := f.root.Open(name+"/cgroup.events", unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	var text [256]byte
	for {
		n, err := file.ReadAt(text[:], 0)
		if err != nil && err != io.EOF {
			return err
		}
		if strings.Contains(string(text[:n]), "frozen 1") {
			return nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("cgroup %s did not stop in time%s", name, restless())
		}
		poll := []unix.PollFd{{Fd: int32(file.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(poll, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// catchStrays moves what runs in the top cgroup into one that is frozen.
func (f *Freezer) catchStrays() (caught bool, err error) {
	pids, err := f.members("cgroup.procs")
	if err != nil {
		return false, err
	}
	for _, pid := range pids {
		if f.spared[pid] {
			continue
		}
		if f.spares(pid) {
			f.spared[pid] = true
			continue
		}
		if !caught {
			caught = true
			if err := f.makeStrayGroup(); err != nil {
				return caught, err
			}
		}
		err := f.root.Write(strayGroup+"/cgroup.procs", strconv.Itoa(pid))
		if err != nil && !cgroup.IsGone(err) {
			return caught, fmt.Errorf("stop %s: %w", describe(pid), err)
		}
	}
	return caught, nil
}

func (f *Freezer) makeStrayGroup() error {
	fd, err := f.root.Make(strayGroup)
	if err != nil {
		return err
	}
	unix.Close(fd)
	_, err = f.freezeGroup(strayGroup)
	return err
}

// Stopped counts the processes that the last freeze has stopped.
func (f *Freezer) Stopped() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return countProcesses(f.spared)
}

// Thaw lets everything go on that Freeze stopped.
func (f *Freezer) Thaw() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.thaw(); err != nil {
		// All or nothing.
		return errors.Join(err, f.freeze(time.Now().Add(refreezeLimit)))
	}
	f.frozen = false
	return nil
}

func (f *Freezer) thaw() error {
	var failures []error
	// Back to where they were while nothing can fork in the group.
	if f.own[strayGroup] {
		failures = append(failures, f.releaseStrays())
	}
	for _, name := range slices.Sorted(maps.Keys(f.own)) {
		err := f.root.Write(name+"/cgroup.freeze", "0")
		if err != nil && !cgroup.IsGone(err) {
			failures = append(failures, fmt.Errorf("thaw cgroup %s: %w", name, err))
			continue
		}
		delete(f.own, name)
	}
	return errors.Join(failures...)
}

func (f *Freezer) releaseStrays() error {
	pids, err := f.members(strayGroup + "/cgroup.procs")
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := f.root.Write("cgroup.procs", strconv.Itoa(pid)); err != nil && !cgroup.IsGone(err) {
			return fmt.Errorf("release %s: %w", describe(pid), err)
		}
	}
	// What cannot be removed, because the dead in it are not collected yet, serves the next time.
	if f.root.Remove(strayGroup) == nil {
		delete(f.own, strayGroup)
	}
	return nil
}

func (f *Freezer) members(path string) ([]int, error) {
	file, err := f.root.Open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	var pids []int
	for field := range strings.FieldsSeq(string(text)) {
		// 0 stands for a process of another pid namespace.
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

func describe(pid int) string {
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	return fmt.Sprintf("process %d (%s)", pid, strings.TrimSpace(string(name)))
}
