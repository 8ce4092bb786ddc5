package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/account"
	"banger.dev/banger/internal/cgroup"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/terminal"
)

// Command says what to run and as whom. The fields mean what the same fields of ExecStart mean.
type Command struct {
	// Argv is the program and its arguments; empty means the user's login shell.
	Argv []string
	// Argv0 replaces the name that the program sees as its own. Empty: Argv[0].
	Argv0       string
	Environment []string
	Cwd         string
	User        string
	// Terminal is nil for a process on pipes.
	Terminal *terminal.Size
	// Stdin false connects the null device.
	Stdin bool
}

// shells are tried in this order when an account has none, or one that the image lacks.
var shells = []string{"/bin/bash", "/bin/sh", "/usr/bin/bash", "/usr/bin/sh"}

// LoginShell returns the account's shell if the image has it, else any shell of the image, else "".
func LoginShell(user account.Account) string {
	for _, shell := range append([]string{user.Shell}, shells...) {
		if filepath.IsAbs(shell) && checkProgram(shell) == nil {
			return shell
		}
	}
	return ""
}

// prepare resolves a command against the guest's configuration. Streams are not connected yet.
func (c Command) prepare(config guest.Config) (*exec.Cmd, account.Account, error) {
	if c.User == "" {
		c.User = config.DefaultUser
	}
	user, err := account.System.Lookup(c.User)
	if err != nil {
		return nil, user, connect.NewError(connect.CodeInvalidArgument, err)
	}
	shell := LoginShell(user)
	environment, err := buildEnvironment(user, shell, c.Terminal != nil, config.Environment, c.Environment)
	if err != nil {
		return nil, user, connect.NewError(connect.CodeInvalidArgument, err)
	}
	cwd, err := workingDirectory(c.Cwd, config.DefaultWorkdir, user.Home)
	if err != nil {
		return nil, user, err
	}
	argv := c.Argv
	if len(argv) == 0 {
		if shell == "" {
			return nil, user, connect.NewError(connect.CodeNotFound, errors.New("the guest has no shell: name a command"))
		}
		argv, c.Argv0 = []string{shell}, "-"+filepath.Base(shell)
	}
	program, err := findProgram(argv[0], variable(environment, "PATH"), cwd)
	if err != nil {
		return nil, user, err
	}
	args := append([]string(nil), argv...)
	if c.Argv0 != "" {
		args[0] = c.Argv0
	}
	attributes := &syscall.SysProcAttr{Setsid: true, Credential: credential(user)}
	cgroup.Place(attributes)
	return &exec.Cmd{Path: program, Args: args, Env: environment, Dir: cwd, SysProcAttr: attributes}, user, nil
}

// workingDirectory returns the directory that was asked for, which must exist, or the first default that exists.
func workingDirectory(wanted string, defaults ...string) (string, error) {
	if wanted == "" {
		for _, directory := range defaults {
			if info, err := os.Stat(directory); err == nil && info.IsDir() {
				return directory, nil
			}
		}
		return "/", nil
	}
	if !filepath.IsAbs(wanted) {
		return "", connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("working directory %q: not an absolute path", wanted))
	}
	info, err := os.Stat(wanted)
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "chdir", Path: wanted, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return "", connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("working directory %q: %w", wanted, errors.Unwrap(err)))
	}
	return wanted, nil
}

// credential is nil when the agent is that user already and could not change anything anyway (tests, hosted mode).
func credential(user account.Account) *syscall.Credential {
	if euid := os.Geteuid(); euid != 0 && uint32(euid) == user.UID {
		return nil
	}
	return &syscall.Credential{Uid: user.UID, Gid: user.GID, Groups: user.Groups}
}
