package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// buffered returns how many bytes wait in a pipe or terminal; 0 when that cannot be told.
func buffered(file *os.File) int {
	connection, err := file.SyscallConn()
	if err != nil {
		return 0
	}
	count := 0
	_ = connection.Control(func(fd uintptr) { count, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return count
}
