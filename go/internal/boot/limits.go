package boot

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// What a process of the guest may open, as on a system with systemd: programs that can cope raise it themselves, and programs
// that use select(2) are not handed descriptors that it cannot hold.
const (
	openFilesSoft = 1024
	openFilesHard = 512 << 10
)

// Limits raises the bound on open files and switches on the kernel's guards against links planted in shared directories,
// which distributions' kernels have on and others need not.
func Limits() error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: openFilesSoft, Max: openFilesHard}); err != nil {
		return os.NewSyscallError("setrlimit", err)
	}
	for _, guard := range []string{"protected_hardlinks", "protected_symlinks", "protected_fifos", "protected_regular"} {
		err := os.WriteFile("/proc/sys/fs/"+guard, []byte("1"), 0)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
