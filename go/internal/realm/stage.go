package realm

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// StageArgument is the argument with which the agent's program is started to become an init; main calls Stage then, with the path.
const StageArgument = "become-init"

const (
	reportFD       = 3
	maxReportBytes = 1024
	bootID         = "/proc/sys/kernel/random/boot_id"
)

// Stage prepares the new namespaces and becomes the init. It does not return: what keeps it from that it says on the pipe that it has
// inherited, and ends.
func Stage(path string) {
	unix.CloseOnExec(reportFD)
	err := prepare()
	if err == nil {
		syscall.Umask(0o022)
		err = syscall.Exec(path, []string{path}, os.Environ())
	}
	_, _ = unix.Write(reportFD, []byte(err.Error()))
	os.Exit(1)
}

// prepare shows the processes of this pid namespace in /proc, and only here; and there the boot id that the agent shows.
func prepare() error {
	shown, err := unix.OpenTree(unix.AT_FDCWD, bootID, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return fmt.Errorf("take hold of the boot id: %w", err)
	}
	defer unix.Close(shown)
	if err := unix.Mount("", "/proc", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make /proc private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.MoveMount(shown, "", unix.AT_FDCWD, bootID, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("cover the boot id: %w", err)
	}
	return nil
}
