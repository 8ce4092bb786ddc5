package process

import (
	"os/exec"
	"syscall"

	"banger.dev/banger/internal/cgroup"
	"banger.dev/banger/internal/reaper"
)

// Rehearse starts a program that is not there. What is found out about the kernel at a first start is known afterwards.
func Rehearse() {
	const program = "/.banger-no-program"
	cmd := &exec.Cmd{Path: program, Args: []string{program}, Env: []string{}, Dir: "/", SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	cgroup.Place(cmd.SysProcAttr)
	_, _ = reaper.Start(cmd)
}
