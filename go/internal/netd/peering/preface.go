// Package peering carries connections between the VMs of a network: from one banger-netd to another over unix sockets, which only
// their user can open.
package peering

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"banger.dev/banger/internal/netd/peers"
	"banger.dev/banger/internal/netd/plan"
	"golang.org/x/sys/unix"
)

// A connection begins with who connects to which port, and the answer of one byte.
const (
	magic4      = "bng1"
	magic6      = "bng6"
	prefaceSize = len(magic4) + 4 + 2 + 2
)

const (
	answerOpen = iota
	answerRefused
	answerUnknown
)

const prefaceWithin = 10 * time.Second

type preface struct {
	// six: both guests see IPv6.
	six bool
	// from is the address of the VM in IPv4, in any case.
	from     netip.Addr
	fromPort uint16
	port     uint16
}

// source as the guest here sees it.
func (p preface) source() netip.AddrPort {
	if p.six {
		return netip.AddrPortFrom(plan.Peer6(p.from), p.fromPort)
	}
	return netip.AddrPortFrom(p.from, p.fromPort)
}

// target is the guest here.
func (p preface) target() netip.AddrPort {
	if p.six {
		return netip.AddrPortFrom(plan.Guest6, p.port)
	}
	return netip.AddrPortFrom(plan.Guest4, p.port)
}

func (p preface) bytes() []byte {
	magic := magic4
	if p.six {
		magic = magic6
	}
	b := append([]byte(magic), p.from.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, p.fromPort)
	return binary.BigEndian.AppendUint16(b, p.port)
}

func parsePreface(b []byte) (preface, bool) {
	if len(b) != prefaceSize || string(b[:4]) != magic4 && string(b[:4]) != magic6 {
		return preface{}, false
	}
	return preface{string(b[:4]) == magic6, netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b[10:])}, true
}

// TCP connects to a port of another VM, at one of its addresses; ECONNREFUSED when nobody listens there.
func TCP(ctx context.Context, network *peers.Network, other peers.Peer, fromPort uint16, to netip.AddrPort) (*net.UnixConn, error) {
	return dial(ctx, "unix", other.Socket, preface{to.Addr().Is6(), network.Self.Address, fromPort, to.Port()})
}

// UDP makes a socket that speaks with a port of another VM. Each datagram has one byte before it, so that an empty one is none.
func UDP(ctx context.Context, network *peers.Network, other peers.Peer, fromPort uint16, to netip.AddrPort) (*Datagrams, error) {
	conn, err := dial(ctx, "unixpacket", other.Socket+peers.Datagrams, preface{to.Addr().Is6(), network.Self.Address, fromPort, to.Port()})
	if err != nil {
		return nil, err
	}
	return &Datagrams{conn}, nil
}

// Datagrams is the way of one UDP flow.
type Datagrams struct{ *net.UnixConn }

// Write one datagram.
func (d *Datagrams) Write(datagram []byte) (int, error) {
	n, err := d.UnixConn.Write(append([]byte{0}, datagram...))
	return max(0, n-1), err
}

func dial(ctx context.Context, kind, path string, p preface) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeout(ctx, prefaceWithin)
	defer cancel()
	opened, err := new(net.Dialer).DialContext(ctx, kind, path)
	if err != nil {
		// The other VM is not there, or not yet.
		return nil, unix.EHOSTUNREACH
	}
	conn := opened.(*net.UnixConn)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := greet(conn, p); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func greet(conn *net.UnixConn, p preface) error {
	if _, err := conn.Write(p.bytes()); err != nil {
		return unix.EHOSTUNREACH
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return unix.EHOSTUNREACH
	}
	switch answer[0] {
	case answerOpen:
		return nil
	case answerRefused:
		return unix.ECONNREFUSED
	}
	return errors.New("the other VM does not know this one")
}
