package channel

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

var errClosed = errors.New("the session is over")

// quietServer keeps HTTP/2 from reporting garbage on the console: a broken session is an ordinary event here.
var quietServer = &http.Server{ErrorLog: log.New(io.Discard, "", 0)}

// sessionConn is one session as a net.Conn. Closing it ends the session and leaves the link open.
type sessionConn struct {
	in     *input
	link   Link
	closed atomic.Bool
	writes atomic.Uint64
}

func (c *sessionConn) Read(p []byte) (int, error) {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if c.closed.Load() {
		return 0, errClosed
	}
	return c.in.read(p)
}

func (c *sessionConn) Write(p []byte) (int, error) {
	if c.closed.Load() {
		return 0, errClosed
	}
	n, err := c.link.Write(p)
	c.writes.Add(1)
	return n, err
}

// Close stops reads and writes that are under way, and returns when no reader of this session touches the input any more.
func (c *sessionConn) Close() error {
	c.closed.Store(true)
	err := c.link.SetDeadline(time.Unix(1, 0))
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return err
}

// The link's deadlines belong to Close. HTTP/2 sets some of its own, which are off in this server's configuration.
func (c *sessionConn) SetDeadline(time.Time) error      { return nil }
func (c *sessionConn) SetReadDeadline(time.Time) error  { return nil }
func (c *sessionConn) SetWriteDeadline(time.Time) error { return nil }

func (c *sessionConn) LocalAddr() net.Addr  { return linkAddr{} }
func (c *sessionConn) RemoteAddr() net.Addr { return linkAddr{} }

type linkAddr struct{}

func (linkAddr) Network() string { return "banger" }
func (linkAddr) String() string  { return "host" }
