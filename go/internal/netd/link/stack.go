package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/frame"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"time"
)

const nic = 1

// Handlers of what comes from the guest. They are called by the one goroutine that reads frames, and must not block.
type Handlers struct {
	// TCP gets each connection attempt in a goroutine of its own.
	TCP func(*tcp.ForwarderRequest)
	// UDP gets whole datagrams with a right checksum. The payload is the callee's.
	UDP func(from, to netip.AddrPort, payload []byte)
	// Ping gets echo requests to addresses outside. The packet is the callee's.
	Ping func(target netip.Addr, packet []byte)
	// Refused is told of packets that were refused here already: the number of their IP protocol, and the reason.
	Refused func(protocol byte, target netip.AddrPort, reason string)
}

// Link is the network side of one VM.
type Link struct {
	Counters Counters
	edge     *edge.Edge
	endpoint *endpoint
	stack    *stack.Stack
	handlers Handlers
}

// New makes a link with nobody on the other side. Attempts is how many TCP connections may be in the making before more are ignored.
func New(handlers Handlers, attempts int) (*Link, error) {
	l := &Link{edge: edge.New(), handlers: handlers}
	l.endpoint = &endpoint{edge: l.edge, counters: &l.Counters}
	l.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
		HandleLocal:        false,
	})
	if err := l.configure(); err != nil {
		return nil, err
	}
	l.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(l.stack, 0, attempts, handlers.TCP).HandlePacket)
	l.stack.SetTransportProtocolHandler(udp.ProtocolNumber, l.handleUDP)
	return l, nil
}

func (l *Link) configure() error {
	if err := l.stack.CreateNIC(nic, l.endpoint); err != nil {
		return fmt.Errorf("create the stack's interface: %s", err)
	}
	// Whatever address the guest wants to speak with is ours.
	if err := l.stack.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("set promiscuous mode: %s", err)
	}
	if err := l.stack.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("set spoofing: %s", err)
	}
	l.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nic},
		{Destination: header.IPv6EmptySubnet, NIC: nic},
	})
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	// Our side often closes first, and nothing but this guest can confuse two connections.
	wait, linger := tcpip.TCPTimeWaitTimeoutOption(time.Second), tcpip.TCPLingerTimeoutOption(15*time.Second)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: defaultBuffer, Max: maxBuffer}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: defaultBuffer, Max: maxBuffer}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &moderate, &wait, &linger, &receive, &send} {
		if err := l.stack.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return fmt.Errorf("set %T: %s", option, err)
		}
	}
	return nil
}

// Serve reads frames of a VMM until its stream ends: nil then.
func (l *Link) Serve(stream net.Conn) error {
	writer := frame.NewWriter(stream)
	defer writer.Close()
	l.endpoint.out.Store(writer)
	defer l.endpoint.out.Store(nil)
	reader := frame.NewReader(stream, edge.MaxFrame)
	for {
		var view *buffer.View
		data, err := reader.Next(func(size int) []byte {
			view = buffer.NewViewSize(size)
			return view.AsSlice()
		})
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		l.Counters.FramesFromGuest.Add(1)
		l.Counters.BytesFromGuest.Add(uint64(len(data)))
		l.handle(view)
	}
}

// handle owns the view.
func (l *Link) handle(view *buffer.View) {
	result := l.edge.Look(view.AsSlice())
	switch result.Action {
	case edge.Deliver4, edge.Deliver6:
		protocol := header.IPv4ProtocolNumber
		if result.Action == edge.Deliver6 {
			protocol = header.IPv6ProtocolNumber
		}
		view.TrimFront(edge.EthernetSize)
		view.CapLength(len(result.Packet))
		packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(view)})
		l.endpoint.deliver(protocol, packet)
		packet.DecRef()
		return
	case edge.Reply:
		l.endpoint.send(result.Frame)
	case edge.Refuse:
		l.Send(edge.Unreachable(result.Packet, edge.AdminProhibited))
		protocol, port := edge.Destination(result.Packet)
		l.handlers.Refused(protocol, netip.AddrPortFrom(result.Target, port), result.Reason)
	case edge.Ping:
		l.handlers.Ping(result.Target, append([]byte(nil), result.Packet...))
	case edge.Drop:
		l.Counters.Dropped.Add(1)
	}
	view.Release()
}

// handleUDP gets datagrams that are whole (the stack has joined their fragments).
func (l *Link) handleUDP(id stack.TransportEndpointID, packet *stack.PacketBuffer) bool {
	datagram := header.UDP(packet.TransportHeader().Slice())
	payload := packet.Data().AsRange()
	if int(datagram.Length()) != header.UDPMinimumSize+payload.Size() {
		l.Counters.Dropped.Add(1)
		return true
	}
	unchecked := packet.NetworkProtocolNumber == header.IPv4ProtocolNumber && datagram.Checksum() == 0
	if !unchecked && !datagram.IsChecksumValid(id.RemoteAddress, id.LocalAddress, packet.Data().Checksum()) {
		l.Counters.Dropped.Add(1)
		return true
	}
	l.handlers.UDP(
		netip.AddrPortFrom(Address(id.RemoteAddress), id.RemotePort),
		netip.AddrPortFrom(Address(id.LocalAddress), id.LocalPort),
		payload.ToSlice(),
	)
	return true
}

// Send gives the guest an IP packet that was made outside of the stack.
func (l *Link) Send(packet []byte) { l.endpoint.send(l.edge.Framed(packet)) }

// Close ends all connections of the stack.
func (l *Link) Close() { l.stack.Close() }

// Address is an address of the stack's as the rest of us writes it.
func Address(address tcpip.Address) netip.Addr {
	a, _ := netip.AddrFromSlice(address.AsSlice())
	return a
}
