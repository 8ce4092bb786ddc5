package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"banger.dev/banger/internal/netd/link"
	"golang.org/x/sys/unix"
)

// Buffers are taken only when there is something to read: connections that wait hold none.
const bufferSize = 64 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// copyDown moves bytes from the host to the guest until the end (nil) or an error of either.
func copyDown(to net.Conn, from stream, count *atomic.Uint64) error {
	raw, err := from.SyscallConn()
	if err != nil {
		return err
	}
	for {
		buffer, n, err := readWhenReady(raw)
		if buffer != nil {
			_, failed := to.Write((*buffer)[:n])
			buffers.Put(buffer)
			if failed != nil {
				return failed
			}
			count.Add(uint64(n))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// readWhenReady returns a buffer with n bytes, or an error and none.
func readWhenReady(raw interface {
	Read(func(uintptr) bool) error
}) (buffer *[]byte, n int, err error) {
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		buffer = buffers.Get().(*[]byte)
		for {
			n, failed = unix.Read(int(fd), *buffer)
			if failed != unix.EINTR {
				break
			}
		}
		if n <= 0 {
			buffers.Put(buffer)
			buffer = nil
		}
		return failed != unix.EAGAIN
	})
	switch {
	case err != nil:
		return nil, 0, err
	case failed != nil:
		return nil, 0, failed
	case n == 0:
		return nil, 0, io.EOF
	}
	return buffer, n, nil
}

// copyUp moves bytes from the guest to the host until the end (nil) or an error of either.
func copyUp(to io.Writer, from *link.Conn, count *atomic.Uint64) error {
	for {
		from.WaitReadable()
		buffer := buffers.Get().(*[]byte)
		n, err := from.Read(*buffer)
		if n > 0 {
			_, failed := to.Write((*buffer)[:n])
			count.Add(uint64(n))
			if failed != nil {
				err = failed
			}
		}
		buffers.Put(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
