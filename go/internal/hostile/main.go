// Command hostile takes the agent's place in a guest of the tests and breaks the rules of the control channel. The
// daemon must mark the VM broken, and neither grow nor hang.
package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"time"

	"banger.dev/banger/internal/boot"
	"banger.dev/banger/internal/channel"
)

// mode is set by the linker:
//   - silent: never a word.
//   - silent-after-handshake: a right handshake, then never a word.
//   - garbage: random-looking bytes after a right handshake, then silence.
//   - endless: bytes for ever, and never a handshake.
//   - endless-after-handshake: a right handshake, then zeros for ever.
var mode = "garbage"

func main() {
	if err := misbehave(); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
	}
	// PID 1 must not end: the kernel would panic and hide what is tested.
	for {
		time.Sleep(time.Hour)
	}
}

func misbehave() error {
	if err := boot.MountKernel(); err != nil {
		return err
	}
	modules, err := boot.ReadModules()
	if err != nil {
		return err
	}
	if err := boot.LoadModules(modules.Channel); err != nil {
		return err
	}
	port, err := channel.OpenPort(channel.PortName, 30*time.Second)
	if err != nil {
		return err
	}
	switch mode {
	case "silent":
		return nil
	case "silent-after-handshake":
		return shakeHands(port)
	case "endless":
		return writeForEver(port, bytes.Repeat([]byte("x"), 64<<10))
	case "endless-after-handshake":
		if err := shakeHands(port); err != nil {
			return err
		}
		return writeForEver(port, make([]byte, 64<<10))
	default:
		if err := shakeHands(port); err != nil {
			return err
		}
		_, err := port.Write(bytes.Repeat([]byte("\xde\xad\xbe\xef"), 4<<10))
		return err
	}
}

var syn = regexp.MustCompile(`BANGER/1 SYN ([0-9a-f]{32} [0-9]+)\n`)

// shakeHands answers the newest SYN that has come so far.
func shakeHands(port *channel.Port) error {
	var seen []byte
	buffer := make([]byte, 4096)
	for {
		n, err := port.Read(buffer)
		if err != nil {
			return err
		}
		seen = append(seen, buffer[:n]...)
		matches := syn.FindAllSubmatch(seen, -1)
		if len(matches) == 0 {
			continue
		}
		_, err = fmt.Fprintf(port, "\nBANGER/1 ACK %s\n", matches[len(matches)-1][1])
		return err
	}
}

func writeForEver(port *channel.Port, chunk []byte) error {
	for {
		if _, err := port.Write(chunk); err != nil {
			return err
		}
	}
}
