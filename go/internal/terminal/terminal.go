// Package terminal makes pseudo terminals. It knows the kernel's interface only, nothing about processes.
package terminal

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// ttyGroup is the group that owns terminals on Linux distributions.
const ttyGroup = 5

// Size in characters. Zero in either field means 80x24.
type Size struct {
	Columns, Rows uint32
}

// Terminal is a pseudo terminal. The process gets Slave; the caller reads and writes Master.
type Terminal struct {
	Master *os.File
	Slave  *os.File
}

// Open makes a terminal whose device belongs to uid, so that the process can open /dev/stdout. The caller closes both files.
func Open(size Size, uid uint32) (*Terminal, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open pseudo terminal: %w", err)
	}
	slave, err := openSlave(master, uid)
	if err != nil {
		master.Close()
		return nil, fmt.Errorf("open pseudo terminal: %w", err)
	}
	terminal := &Terminal{Master: master, Slave: slave}
	if err := terminal.Resize(size); err != nil {
		terminal.Close()
		return nil, err
	}
	return terminal, nil
}

func openSlave(master *os.File, uid uint32) (*os.File, error) {
	number := 0
	err := control(master, func(fd int) (err error) {
		if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		return nil, err
	}
	// Not os.OpenFile: a child must not get a terminal in non-blocking mode.
	path := "/dev/pts/" + strconv.Itoa(number)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if os.Geteuid() == 0 {
		_ = unix.Fchown(fd, int(uid), ttyGroup)
		_ = unix.Fchmod(fd, 0o620)
	}
	if modes, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
		modes.Iflag |= unix.IUTF8
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, modes)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// Resize sets the size; the kernel tells the foreground process group with SIGWINCH.
func (t *Terminal) Resize(size Size) error {
	if size.Columns == 0 || size.Rows == 0 {
		size = Size{Columns: 80, Rows: 24}
	}
	window := &unix.Winsize{Col: clamp(size.Columns), Row: clamp(size.Rows)}
	return control(t.Master, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, window) })
}

// WriteEOF types the end-of-file character that the terminal is set to.
func (t *Terminal) WriteEOF() error {
	character := byte(4)
	_ = control(t.Master, func(fd int) error {
		modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err == nil {
			character = modes.Cc[unix.VEOF]
		}
		return err
	})
	_, err := t.Master.Write([]byte{character})
	return err
}

// ForegroundGroup is the process group that the terminal's keys signal; 0 when there is none.
func (t *Terminal) ForegroundGroup() int {
	group := 0
	_ = control(t.Master, func(fd int) (err error) {
		group, err = unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		return err
	})
	return max(group, 0)
}

// Close closes both sides. Closing the master hangs the terminal up.
func (t *Terminal) Close() {
	t.Slave.Close()
	t.Master.Close()
}

func clamp(value uint32) uint16 { return uint16(min(value, 1<<16-1)) }

// control calls do with the descriptor. Not File.Fd: that would take the deadlines away.
func control(file *os.File, do func(fd int) error) error {
	connection, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := connection.Control(func(fd uintptr) { err = do(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}
