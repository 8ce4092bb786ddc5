package link

import (
	"context"
	"net/netip"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// DialTCP connects to the guest, from an address that only it sees.
func (l *Link) DialTCP(ctx context.Context, from, to netip.AddrPort) (*DialedConn, error) {
	conn, err := gonet.DialTCPWithBind(ctx, l.stack, stackAddress(from), stackAddress(to), protocolOf(to))
	if err != nil {
		return nil, err
	}
	return &DialedConn{conn}, nil
}

// DialedConn is a connection that we opened.
type DialedConn struct{ *gonet.TCPConn }

// Abort ends it without waiting for the guest.
func (c *DialedConn) Abort() { c.Close() }

// DialUDP makes a socket that speaks with one port of the guest.
func (l *Link) DialUDP(from, to netip.AddrPort) (*gonet.UDPConn, error) {
	local, remote := stackAddress(from), stackAddress(to)
	return gonet.DialUDP(l.stack, &local, &remote, protocolOf(to))
}

func stackAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

func protocolOf(a netip.AddrPort) tcpip.NetworkProtocolNumber {
	if a.Addr().Is6() {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}
