// Package plan holds the addresses of the network between a guest and its banger-netd. They are the same in every guest, so
// that a template or a fork fits wherever it is restored. notes/network.md says why it is these.
package plan

import (
	"net"
	"net/netip"
)

// MTU of the guest's interface. Without offloads the size of a frame decides the throughput; this is the largest that fits QEMU's
// buffers and a multiple of what memory pages hold.
const MTU = 65520

// Networks of the guest's link.
var (
	Prefix4 = netip.MustParsePrefix("198.18.0.0/24")
	Prefix6 = netip.MustParsePrefix("fd62:616e:6765:72::/64")
)

// Where the other VMs of a network are, as a guest sees them.
var (
	Peers4 = netip.MustParsePrefix("198.19.0.0/16")
	Peers6 = netip.MustParsePrefix("fd62:616e:6765:73::/64")
)

// Who has which address on it. The gateway is the name server, too.
var (
	Gateway4 = netip.MustParseAddr("198.18.0.1")
	Guest4   = netip.MustParseAddr("198.18.0.2")
	// Host4 and Host6 are what host.vm is: ports of the host's loopback that were opened on purpose.
	Host4 = netip.MustParseAddr("198.18.0.3")

	Gateway6 = netip.MustParseAddr("fd62:616e:6765:72::1")
	Guest6   = netip.MustParseAddr("fd62:616e:6765:72::2")
	Host6    = netip.MustParseAddr("fd62:616e:6765:72::3")
)

// Link layer addresses, locally administered.
var (
	GatewayMAC = net.HardwareAddr{0x02, 0x62, 0x61, 0x6e, 0x67, 0x01}
	GuestMAC   = net.HardwareAddr{0x02, 0x62, 0x61, 0x6e, 0x67, 0x02}
)

// HostName is the name of Host4 and Host6.
const HostName = "host.vm"

// Gateway says whether an address is the gateway's.
func Gateway(address netip.Addr) bool { return address == Gateway4 || address == Gateway6 }

// Host says whether an address is host.vm's.
func Host(address netip.Addr) bool { return address == Host4 || address == Host6 }

// Peer says whether an address can only be that of another VM.
func Peer(address netip.Addr) bool { return Peers4.Contains(address) || Peers6.Contains(address) }

// Peer6 is the IPv6 address of the VM with an address in Peers4, which stands at its end.
func Peer6(address netip.Addr) netip.Addr {
	raw, inner := Peers6.Addr().As16(), address.As4()
	copy(raw[12:], inner[:])
	return netip.AddrFrom16(raw)
}

// OnLink says whether an address belongs to the guest's link.
func OnLink(address netip.Addr) bool { return Prefix4.Contains(address) || Prefix6.Contains(address) }
