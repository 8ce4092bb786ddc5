// Package realm runs the image's own init: as PID 1 of a pid namespace and a mount namespace of its own, in which from then on
// everything of the guest's users runs. The agent stays outside: the init cannot see, signal or end it, and when the init powers
// off, the agent is there to leave the disks clean.
package realm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"banger.dev/banger/internal/procfs"
	"banger.dev/banger/internal/reaper"
	"golang.org/x/sys/unix"
)

// Realm is a running init with its namespaces.
type Realm struct {
	init *reaper.Child
	path string
	// spaces stay open: a thread needs them to enter.
	spaces []*os.File
	idle   chan thread
}

// So many threads are kept for the next start.
const maxIdle = 2

// environment is what the kernel gives an init, and a word to systemd: a login on the serial console is not wanted, because that is
// written to a log; and without udev in the image, it would wait for the console's device.
var environment = []string{"HOME=/", "TERM=linux", "SYSTEMD_GETTY_AUTO=no"}

var current atomic.Pointer[Realm]

// Start starts the init at path and returns when its program runs; from then on Inside means its namespaces. "/" must be a shared
// mount: what the init mounts shows outside, too. The error names the path.
func Start(path string) (*Realm, error) {
	r, err := start(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	current.Store(r)
	return r, nil
}

func start(path string) (*Realm, error) {
	// Before anything is started: the words of the kernel for these are the same as for a fault of our own.
	if err := check(path); err != nil {
		return nil, err
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	cmd := &exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       []string{"banger-agent", StageArgument, path},
		Env:        environment,
		Dir:        "/",
		ExtraFiles: []*os.File{writer},
		SysProcAttr: &syscall.SysProcAttr{
			Setsid:     true,
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		},
	}
	if console, err := os.OpenFile("/dev/console", os.O_RDWR|unix.O_NOCTTY, 0); err == nil {
		defer console.Close()
		cmd.Stdin, cmd.Stdout, cmd.Stderr = console, console, console
	}
	child, err := reaper.Start(cmd)
	writer.Close()
	if err != nil {
		return nil, err
	}
	r := &Realm{init: child, path: path, idle: make(chan thread, maxIdle)}
	// Empty once the init's program has taken over.
	report, err := io.ReadAll(io.LimitReader(reader, maxReportBytes))
	if err == nil && len(report) > 0 {
		err = errors.New(string(report))
	}
	if err == nil {
		err = r.enter()
	}
	if err != nil {
		_ = child.Signal(unix.SIGKILL)
		return nil, err
	}
	return r, nil
}

func check(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return errors.New("it is no program")
	}
	return nil
}

// enter takes hold of the namespaces and has a first thread ready.
func (r *Realm) enter() error {
	for _, name := range []string{"pid", "mnt"} {
		space, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", r.init.PID, name))
		if err != nil {
			return r.orEnded(err)
		}
		r.spaces = append(r.spaces, space)
	}
	first, err := r.newThread()
	if err != nil {
		return r.orEnded(err)
	}
	r.idle <- first
	return nil
}

// thread is one that is in the namespaces, and never anything else's thread again. It ends when the channel is closed.
type thread chan func()

func (r *Realm) newThread() (thread, error) {
	work, entered := make(thread), make(chan error)
	go func() {
		runtime.LockOSThread()
		// A mount namespace belongs to a thread only when its root and working directory do.
		err := unix.Unshare(unix.CLONE_FS)
		for _, space := range r.spaces {
			if err == nil {
				err = unix.Setns(int(space.Fd()), 0)
			}
		}
		entered <- err
		if err == nil {
			for do := range work {
				do()
			}
		}
	}()
	if err := <-entered; err != nil {
		return nil, fmt.Errorf("enter the namespaces of the init: %w", err)
	}
	return work, nil
}

func (r *Realm) orEnded(err error) error {
	select {
	case <-r.init.Done():
		return errors.New("it ended at once, " + describe(r.init.Wait()))
	default:
		return err
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "by signal " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("with status %d", status.ExitStatus())
}

// Inside runs start where the guest's users are: in the namespaces of the init, when there is one. Processes that start makes
// itself, and not on another goroutine, are in them.
func Inside(start func() error) error {
	r := current.Load()
	if r == nil {
		return start()
	}
	var in thread
	select {
	case in = <-r.idle:
	default:
		// A start that hangs holds up no other.
		var err error
		if in, err = r.newThread(); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	in <- func() { done <- start() }
	err := <-done
	select {
	case r.idle <- in:
	default:
		close(in)
	}
	return err
}

// PID is the number by which the guest knows a process that was started Inside.
func PID(pid int) int {
	if current.Load() == nil {
		return pid
	}
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		// One number for each namespace, the innermost last.
		if numbers := strings.Fields(line); len(numbers) > 1 && numbers[0] == "NSpid:" {
			if inner, err := strconv.Atoi(numbers[len(numbers)-1]); err == nil {
				return inner
			}
		}
	}
	return pid
}

// Path of the init's program, as it was asked for.
func (r *Realm) Path() string { return r.path }

// Done is closed when the init, and with it every process inside, has ended.
func (r *Realm) Done() <-chan struct{} { return r.init.Done() }

// End says how the init ended, for messages. It waits until it has.
func (r *Realm) End() string { return describe(r.init.Wait()) }

// Signal signals the init.
func (r *Realm) Signal(signal syscall.Signal) error { return r.init.Signal(signal) }

// Children says whether the init has started a process.
func (r *Realm) Children() bool {
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", r.init.PID, r.init.PID))
	return len(children) > 0
}

// Waits says whether the init sleeps until something happens, as a program does that has begun its work. One that is being loaded
// runs, or waits for a disk.
func (r *Realm) Waits() bool {
	process, ok := procfs.Read(r.init.PID)
	return ok && process.State == "S"
}

// IsSystemd says whether the init is systemd, whatever the link to it is called.
func (r *Realm) IsSystemd() bool {
	program, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", r.init.PID))
	return filepath.Base(program) == "systemd"
}
