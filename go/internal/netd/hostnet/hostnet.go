// Package hostnet opens the host's sockets for connections that were allowed.
package hostnet

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// DialTimeout is how long a host may take to accept a connection.
const DialTimeout = 30 * time.Second

// Host is where connections go out. The zero value is the real one.
type Host struct {
	// Translate, when set, says where to go instead: for tests, whose "public" servers are on the loopback.
	Translate func(netip.AddrPort) netip.AddrPort
	// Roots that hosts of secrets prove themselves with. Nil: those of the system.
	Roots *x509.CertPool
}

func (h *Host) target(to netip.AddrPort) netip.AddrPort {
	if h.Translate == nil {
		return to
	}
	return h.Translate(to)
}

// TCP connects.
func (h *Host) TCP(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: DialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", h.target(to).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// UDP makes a socket that speaks with one address only.
func (h *Host) UDP(to netip.AddrPort) (*net.UDPConn, error) {
	return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(h.target(to)))
}

// Failure is the word of the log for a failed connection.
func Failure(err error) string {
	var timeout net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "unreachable"
}
