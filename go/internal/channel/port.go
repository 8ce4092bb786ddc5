package channel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PortName is the name that the VMM gives the virtio-serial port.
const PortName = "banger.agent"

const portsDirectory = "/sys/class/virtio-ports"

// While no host is there, the port's wait queue wakes us when one comes. The tick is for a kernel that forgets to.
const hostTick = 5 * time.Second

// OpenPort waits until the kernel shows the virtio-serial port of that name and opens it. It can be opened only once.
func OpenPort(name string, timeout time.Duration) (*Port, error) {
	events, err := newUevents()
	if err != nil {
		return nil, err
	}
	defer events.close()
	deadline := time.Now().Add(timeout)
	for {
		device, seen, err := findPort(name)
		if err != nil {
			return nil, err
		}
		if device != "" {
			return openDevice(device)
		}
		left := time.Until(deadline)
		if left <= 0 {
			return nil, fmt.Errorf("no virtio-serial port %q after %s (ports: %s)", name, timeout, strings.Join(seen, ", "))
		}
		// devtmpfs makes the node a moment after the event, and events can be lost: look again after a short while.
		events.wait(min(left, 50*time.Millisecond))
	}
}

func findPort(name string) (device string, seen []string, err error) {
	entries, err := os.ReadDir(portsDirectory)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", nil, err
	}
	for _, entry := range entries {
		label, err := os.ReadFile(filepath.Join(portsDirectory, entry.Name(), "name"))
		if err != nil {
			continue
		}
		device := "/dev/" + entry.Name()
		if strings.TrimSpace(string(label)) == name {
			if _, err := os.Stat(device); err == nil {
				return device, nil, nil
			}
		}
		seen = append(seen, fmt.Sprintf("%s=%q", entry.Name(), strings.TrimSpace(string(label))))
	}
	return "", seen, nil
}

// Port is a virtio-serial port as a Link. A read of no bytes means that no host is connected; the port outlives hosts.
type Port struct {
	file *os.File
	raw  syscall.RawConn
}

func openDevice(device string) (*Port, error) {
	// Without O_NONBLOCK the driver spins on the processor until the host has taken each write.
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", device, err)
	}
	file := os.NewFile(uintptr(fd), device)
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Port{file: file, raw: raw}, nil
}

func (p *Port) ReadNext(b []byte) (int, error) {
	for {
		// The deadline that ends Serve may be overwritten here: PID 1 never ends Serve.
		if err := p.file.SetReadDeadline(time.Now().Add(hostTick)); err != nil {
			return 0, err
		}
		n, err := p.readOnce(b, func(n int) bool { return n > 0 })
		if errors.Is(err, os.ErrDeadlineExceeded) {
			continue
		}
		if err == nil {
			err = p.file.SetReadDeadline(time.Time{})
		}
		return n, err
	}
}

func (p *Port) Read(b []byte) (int, error) {
	n, err := p.readOnce(b, func(int) bool { return true })
	if err == nil && n == 0 {
		return 0, io.EOF
	}
	return n, err
}

// readOnce reads until the driver has an answer that counts. In between it sleeps until the port's state changes:
// epoll is edge-triggered, so a port without a host does not keep it awake.
func (p *Port) readOnce(b []byte, counts func(n int) bool) (n int, err error) {
	waitErr := p.raw.Read(func(fd uintptr) bool {
		for {
			n, err = unix.Read(int(fd), b)
			if err == unix.EINTR {
				continue
			}
			if err == unix.EAGAIN {
				err = nil
				return false
			}
			return err != nil || counts(n)
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}

func (p *Port) Write(b []byte) (int, error) { return p.file.Write(b) }

func (p *Port) SetDeadline(t time.Time) error { return p.file.SetDeadline(t) }
