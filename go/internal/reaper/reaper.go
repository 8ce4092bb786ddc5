// Package reaper is the one place that waits for child processes. As PID 1 the agent inherits every orphan and must
// collect it with wait4(-1), which would also steal the status that os/exec waits for; so nobody calls cmd.Wait.
package reaper

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	// collecting is held for reading from before a fork until the child is known, and for writing while
	// statuses are collected: so no child is collected before it is known, and none is signalled after.
	collecting sync.RWMutex

	knownMu sync.Mutex
	known   = map[int]*Child{}

	looping bool // guarded by collecting
	runOnce sync.Once

	defaultsOnce sync.Once
)

// Child is a process that Start made. Its status is kept until the Child is garbage, so it may be waited for by many.
type Child struct {
	// PID of the process; only Signal and SignalGroup may be used to signal it, because the number is free after its end.
	PID    int
	done   chan struct{}
	status syscall.WaitStatus
}

// Run starts to collect every child and every orphan of this process. It returns at once; calls after the first do nothing.
// It is for PID 1 (or a child subreaper): elsewhere it takes statuses from other users of os/exec.
func Run() {
	runOnce.Do(func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGCHLD)
		collecting.Lock()
		looping = true
		collecting.Unlock()
		go func() {
			collectAll()
			for range signals {
				collectAll()
			}
		}()
	})
}

// Start starts cmd, whose Stdin, Stdout and Stderr must be nil or *os.File (a copying goroutine would need cmd.Wait).
// The caller must not use cmd.Wait, nor cmd.Process.
func Start(cmd *exec.Cmd) (*Child, error) {
	for _, stream := range []any{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if _, isFile := stream.(*os.File); stream != nil && !isFile {
			return nil, errors.New("reaper: streams of a child must be files")
		}
	}
	defaultsOnce.Do(stopInheritingIgnoredSignals)
	collecting.RLock()
	defer collecting.RUnlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	child := &Child{PID: cmd.Process.Pid, done: make(chan struct{})}
	knownMu.Lock()
	known[child.PID] = child
	knownMu.Unlock()
	// Lets go of the pidfd now and not at some garbage collection.
	_ = cmd.Process.Release()
	if !looping {
		go child.collect()
	}
	return child, nil
}

// stopInheritingIgnoredSignals keeps children from being deaf to Ctrl-C because the agent was started in the background of
// a shell: execve keeps ignored signals ignored, but resets caught ones. The Go runtime catches all but these two anyway.
// Nobody reads the channel: for the agent itself they stay without effect.
func stopInheritingIgnoredSignals() {
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGHUP} {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
}

// Wait blocks until the process has ended and says how.
func (c *Child) Wait() syscall.WaitStatus {
	<-c.done
	return c.status
}

// Done is closed when the process has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Signal signals the process; os.ErrProcessDone when it has ended.
func (c *Child) Signal(sig syscall.Signal) error { return c.signal(c.PID, sig) }

// SignalGroup signals the group that the process leads; os.ErrProcessDone when the process itself has ended.
func (c *Child) SignalGroup(sig syscall.Signal) error { return c.signal(-c.PID, sig) }

func (c *Child) signal(target int, sig syscall.Signal) error {
	collecting.RLock()
	defer collecting.RUnlock()
	select {
	case <-c.done:
		return os.ErrProcessDone
	default:
		return syscall.Kill(target, sig)
	}
}

// collect waits for this child alone: the way when Run was not called.
func (c *Child) collect() {
	for {
		err := unix.Waitid(unix.P_PID, c.PID, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return // ECHILD: the loop that was started meanwhile has collected it.
		}
	}
	collecting.Lock()
	defer collecting.Unlock()
	var status syscall.WaitStatus
	if pid, err := syscall.Wait4(c.PID, &status, syscall.WNOHANG, nil); err == nil && pid == c.PID {
		finish(pid, status)
	}
}

func collectAll() {
	collecting.Lock()
	defer collecting.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		finish(pid, status)
	}
}

func finish(pid int, status syscall.WaitStatus) {
	knownMu.Lock()
	child := known[pid]
	delete(known, pid)
	knownMu.Unlock()
	if child != nil {
		child.status = status
		close(child.done)
	}
}
