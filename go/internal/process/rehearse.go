package process

import (
	"os/exec"
	"strings"
	"syscall"

	"banger.dev/banger/internal/cgroup"
	"banger.dev/banger/internal/reaper"
	"golang.org/x/sys/unix"
)

// Rehearse starts a program that is not there. What is found out about the kernel at a first start is known afterwards.
func Rehearse() {
	const program = "/.banger-no-program"
	cmd := &exec.Cmd{Path: program, Args: []string{program}, Env: []string{}, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	cgroup.Place(cmd.SysProcAttr)
	_, _ = reaper.Start(cmd)
}

// RehearseFrozen does what a start does up to the program, which cannot be: the kernel refuses its name before it looks at any file.
// So nothing of the guest's users is run, or waited for, and no cgroup of theirs is entered: those are frozen.
func RehearseFrozen() {
	cmd := &exec.Cmd{
		Path: "/" + strings.Repeat("-", unix.PathMax), Args: []string{"-"}, Env: []string{}, Dir: "/",
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{}},
	}
	running := &Running{}
	defer running.Close()
	childSide, err := running.openPipes(cmd, 0, false)
	if err == nil {
		_, _ = reaper.Start(cmd)
	}
	for _, file := range childSide {
		file.Close()
	}
}
