package inspect

import (
	"os"
	"strconv"
	"strings"

	"banger.dev/banger/internal/procfs"
)

const commandBytes = 512

// command is the command line of a process, its name in brackets when it has none.
func command(p procfs.Process) string {
	file, err := os.Open("/proc/" + strconv.Itoa(p.PID) + "/cmdline")
	if err == nil {
		defer file.Close()
		buffer := make([]byte, commandBytes)
		read, _ := file.Read(buffer)
		if line := strings.TrimRight(strings.ReplaceAll(string(buffer[:read]), "\x00", " "), " "); line != "" {
			return strings.ToValidUTF8(line, "\uFFFD")
		}
	}
	return "[" + strings.ToValidUTF8(p.Name, "\uFFFD") + "]"
}
