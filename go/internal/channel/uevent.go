package channel

import (
	"time"

	"golang.org/x/sys/unix"
)

// uevents listens to the kernel's device events. Only that something happened matters, not what.
type uevents struct{ fd int }

func newUevents() (*uevents, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &uevents{fd: fd}, nil
}

func (u *uevents) close() { unix.Close(u.fd) }

// wait returns after an event, or after the timeout; then every event so far has been taken.
func (u *uevents) wait(timeout time.Duration) {
	poll := []unix.PollFd{{Fd: int32(u.fd), Events: unix.POLLIN}}
	if n, _ := unix.Poll(poll, int(timeout.Milliseconds())+1); n <= 0 {
		return
	}
	var buffer [4096]byte
	for {
		if n, err := unix.Read(u.fd, buffer[:]); n <= 0 || err != nil {
			return
		}
	}
}
