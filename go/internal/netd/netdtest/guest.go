// Package netdtest is a guest for tests of banger-netd: a network stack on the other end of the VMM's stream, and a way to send frames
// that no stack would.
package netdtest

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/plan"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const nic = 1

// Guest is one end of a VMM's stream.
type Guest struct {
	Stack  *stack.Stack
	stream net.Conn
	write  sync.Mutex

	mu   sync.Mutex
	taps []chan []byte
}

// NewGuest speaks on a stream until the test ends.
func NewGuest(t testing.TB, stream net.Conn) *Guest {
	t.Helper()
	g := &Guest{stream: stream}
	link := channel.New(1024, plan.MTU+edge.EthernetSize, tcpip.LinkAddress(plan.GuestMAC))
	g.Stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := g.Stack.CreateNIC(nic, ethernet.New(link)); err != nil {
		t.Fatalf("create the guest's interface: %s", err)
	}
	g.address(t, ipv4.ProtocolNumber, netip.PrefixFrom(plan.Guest4, 24))
	g.address(t, ipv6.ProtocolNumber, netip.PrefixFrom(plan.Guest6, 64))
	g.Stack.SetRouteTable([]tcpip.Route{
		{Destination: subnet(t, plan.Prefix4), NIC: nic},
		{Destination: subnet(t, plan.Prefix6), NIC: nic},
		{Destination: header.IPv4EmptySubnet, NIC: nic, Gateway: tcpip.AddrFromSlice(plan.Gateway4.AsSlice())},
		{Destination: header.IPv6EmptySubnet, NIC: nic, Gateway: tcpip.AddrFromSlice(plan.Gateway6.AsSlice())},
	})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	g.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, &sack)
	g.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, &moderate)
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { g.send(ctx, link) })
	done.Go(func() { g.receive(link) })
	t.Cleanup(func() {
		stop()
		stream.Close()
		done.Wait()
		g.Stack.Close()
	})
	return g
}

func (g *Guest) address(t testing.TB, protocol tcpip.NetworkProtocolNumber, prefix netip.Prefix) {
	t.Helper()
	err := g.Stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
		Protocol:          protocol,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(prefix.Addr().AsSlice()), PrefixLen: prefix.Bits()},
	}, stack.AddressProperties{})
	if err != nil {
		t.Fatalf("give the guest %s: %s", prefix, err)
	}
}

func subnet(t testing.TB, prefix netip.Prefix) tcpip.Subnet {
	t.Helper()
	mask := net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())
	s, err := tcpip.NewSubnet(tcpip.AddrFromSlice(prefix.Addr().AsSlice()), tcpip.MaskFromBytes(mask))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (g *Guest) send(ctx context.Context, link *channel.Endpoint) {
	for {
		packet := link.ReadContext(ctx)
		if packet == nil {
			return
		}
		view := packet.ToView()
		packet.DecRef()
		g.Frame(view.AsSlice())
		view.Release()
	}
}

// Frame sends a frame as it is.
func (g *Guest) Frame(frame []byte) error {
	g.write.Lock()
	defer g.write.Unlock()
	_, err := g.stream.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...))
	return err
}

// Packet sends an IP packet to the gateway.
func (g *Guest) Packet(packet []byte) error {
	frame := append([]byte(plan.GatewayMAC), plan.GuestMAC...)
	kind := uint16(edge.TypeIPv4)
	if packet[0]>>4 == 6 {
		kind = edge.TypeIPv6
	}
	return g.Frame(append(binary.BigEndian.AppendUint16(frame, kind), packet...))
}

func (g *Guest) receive(link *channel.Endpoint) {
	for {
		var size [4]byte
		if _, err := io.ReadFull(g.stream, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(size[:]))
		if _, err := io.ReadFull(g.stream, frame); err != nil {
			return
		}
		g.tell(frame)
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
		link.InjectInbound(0, packet)
		packet.DecRef()
	}
}

func (g *Guest) tell(frame []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, tap := range g.taps {
		select {
		case tap <- frame:
		default:
		}
	}
}

// Tap gets copies of the frames that come from now on.
func (g *Guest) Tap() <-chan []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	tap := make(chan []byte, 256)
	g.taps = append(g.taps, tap)
	return tap
}

func full(to netip.AddrPort) (tcpip.FullAddress, tcpip.NetworkProtocolNumber) {
	protocol := ipv4.ProtocolNumber
	if to.Addr().Is6() {
		protocol = ipv6.ProtocolNumber
	}
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(to.Addr().AsSlice()), Port: to.Port()}, protocol
}

// TCP connects to an address.
func (g *Guest) TCP(ctx context.Context, to netip.AddrPort) (*gonet.TCPConn, error) {
	address, protocol := full(to)
	return gonet.DialContextTCP(ctx, g.Stack, address, protocol)
}

// UDP makes a socket that speaks with one address.
func (g *Guest) UDP(to netip.AddrPort) (*gonet.UDPConn, error) {
	address, protocol := full(to)
	return gonet.DialUDP(g.Stack, nil, &address, protocol)
}

// Mute is a guest that has no stack and reads nothing: it only sends what it is told to.
func Mute(stream net.Conn) *Guest { return &Guest{stream: stream} }
