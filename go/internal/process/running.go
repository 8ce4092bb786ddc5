package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/realm"
	"banger.dev/banger/internal/reaper"
	"banger.dev/banger/internal/terminal"
)

// Running is a process with its streams, in a session of its own. The one who started it calls Output, then Close.
type Running struct {
	child    *reaper.Child
	terminal *terminal.Terminal // nil for a process on pipes
	stdin    *os.File           // nil when stdin is the null device
	stdout   *os.File
	stderr   *os.File // nil on a terminal
}

// Exit says how a process ended.
type Exit struct {
	// Code as a shell shows it: 128+n for a process that signal n ended.
	Code int
	// Signal that ended it, 0 when it exited by itself.
	Signal syscall.Signal
}

// Start starts a command. Errors are Connect errors: not_found and permission_denied speak of the program,
// failed_precondition of the working directory, invalid_argument of the user or the environment.
func Start(config guest.Config, command Command) (*Running, error) {
	cmd, user, err := command.prepare(config)
	if err != nil {
		return nil, err
	}
	running := &Running{}
	var childSide []*os.File
	if command.Terminal != nil {
		childSide, err = running.openTerminal(cmd, *command.Terminal, user.UID, command.Stdin)
	} else {
		childSide, err = running.openPipes(cmd, user.UID, command.Stdin)
	}
	if err == nil {
		err = realm.Inside(func() (err error) {
			running.child, err = reaper.Start(cmd)
			return err
		})
		if errors.Is(err, fs.ErrPermission) {
			// The kernel does not say which of the two the user may not enter or run.
			err = fmt.Errorf("%w (uid %d, working directory %q)", syscall.EACCES, user.UID, cmd.Dir)
		}
		err = programError(cmd.Args[0], err)
	}
	for _, file := range childSide {
		file.Close()
	}
	if err != nil {
		running.Close()
		return nil, asConnectError(err)
	}
	return running, nil
}

func (r *Running) openTerminal(cmd *exec.Cmd, size terminal.Size, uid uint32, stdin bool) ([]*os.File, error) {
	var err error
	if r.terminal, err = terminal.Open(size, uid); err != nil {
		return nil, err
	}
	r.stdout = r.terminal.Master
	slave := r.terminal.Slave
	cmd.Stdout, cmd.Stderr = slave, slave
	if stdin {
		r.stdin = r.terminal.Master
		cmd.Stdin = slave
	}
	cmd.SysProcAttr.Setctty = true
	cmd.SysProcAttr.Ctty = 1 // stdout: stdin may be the null device
	return []*os.File{slave}, nil
}

func (r *Running) openPipes(cmd *exec.Cmd, uid uint32, stdin bool) (childSide []*os.File, err error) {
	pipe := func(childReads bool) (ours, theirs *os.File) {
		if err != nil {
			return nil, nil
		}
		var reader, writer *os.File
		if reader, writer, err = os.Pipe(); err != nil {
			return nil, nil
		}
		ours, theirs = reader, writer
		if childReads {
			ours, theirs = writer, reader
		}
		if os.Geteuid() == 0 && uid != 0 {
			// Else the user could not open /dev/stdout. Fd is used on the child's side only: it takes deadlines away.
			_ = syscall.Fchown(int(theirs.Fd()), int(uid), -1)
		}
		childSide = append(childSide, theirs)
		return ours, theirs
	}
	if stdin {
		var theirs *os.File
		if r.stdin, theirs = pipe(true); theirs != nil {
			cmd.Stdin = theirs
		}
	}
	var stdout, stderr *os.File
	r.stdout, stdout = pipe(false)
	r.stderr, stderr = pipe(false)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return childSide, err
}

// PID of the process.
func (r *Running) PID() int { return r.child.PID }

// WriteStdin blocks while the process does not read. It reports false when nothing will ever be read again.
func (r *Running) WriteStdin(data []byte) bool {
	if r.stdin == nil {
		return false
	}
	_, err := r.stdin.Write(data)
	return err == nil
}

// CloseStdin ends stdin: on a terminal, which cannot be half-closed, by typing the end-of-file character.
func (r *Running) CloseStdin() {
	switch {
	case r.stdin == nil:
	case r.terminal != nil:
		_ = r.terminal.WriteEOF()
	default:
		r.stdin.Close()
	}
}

// Resize changes the terminal's size; nothing happens on pipes.
func (r *Running) Resize(size terminal.Size) {
	if r.terminal != nil {
		_ = r.terminal.Resize(size)
	}
}

// Signal signals the process group and, on a terminal, the foreground job of the shell too.
func (r *Running) Signal(sig syscall.Signal) {
	if r.child.SignalGroup(sig) != nil || r.terminal == nil {
		return
	}
	if group := r.terminal.ForegroundGroup(); group > 1 && group != r.child.PID {
		_ = syscall.Kill(-group, sig)
	}
}

// Done is closed when the process has ended.
func (r *Running) Done() <-chan struct{} { return r.child.Done() }

// Close lets go of what Output left open. A terminal is hung up.
func (r *Running) Close() {
	for _, file := range []*os.File{r.stdin, r.stdout, r.stderr} {
		if file != nil {
			file.Close()
		}
	}
}

func exitOf(status syscall.WaitStatus) Exit {
	if status.Signaled() {
		return Exit{Code: 128 + int(status.Signal()), Signal: status.Signal()}
	}
	return Exit{Code: status.ExitStatus()}
}

func asConnectError(err error) error {
	var connectError *connect.Error
	if errors.As(err, &connectError) {
		return err
	}
	return connect.NewError(connect.CodeInternal, err)
}
