package edge_test

import (
	"bytes"
	"net/netip"
	"testing"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/plan"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

func ethernet(kind uint16, payload []byte) []byte {
	frame := append([]byte(plan.GatewayMAC), 2, 9, 9, 9, 9, 9, byte(kind>>8), byte(kind))
	return append(frame, payload...)
}

func arp(operation byte, sender, target netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, operation, 2, 9, 9, 9, 9, 9}
	b = append(b, sender.AsSlice()...)
	return ethernet(edge.TypeARP, append(append(b, 0, 0, 0, 0, 0, 0), target.AsSlice()...))
}

func TestARP(t *testing.T) {
	e := edge.New()
	other := netip.MustParseAddr("198.18.0.9")
	for _, c := range []struct {
		frame []byte
		want  edge.Action
	}{
		{arp(1, plan.Guest4, plan.Gateway4), edge.Reply}, {arp(1, plan.Guest4, plan.Host4), edge.Reply}, {arp(1, plan.Guest4, other), edge.Reply},
		{arp(1, plan.Guest4, plan.Guest4), edge.Ignore}, {arp(1, netip.IPv4Unspecified(), plan.Guest4), edge.Ignore},
		{arp(1, plan.Guest4, netip.MustParseAddr("10.0.0.1")), edge.Ignore}, {arp(2, plan.Guest4, plan.Gateway4), edge.Drop},
		{arp(1, plan.Gateway4, plan.Gateway4), edge.Drop}, {arp(1, plan.Guest4, plan.Gateway4)[:40], edge.Drop},
	} {
		got := e.Look(c.frame)
		if got.Action != c.want {
			t.Errorf("%x: action %d, not %d", c.frame, got.Action, c.want)
		}
		if got.Action == edge.Reply && (!bytes.Equal(got.Frame[:6], c.frame[6:12]) || !bytes.Equal(got.Frame[22:28], plan.GatewayMAC)) {
			t.Errorf("reply %x", got.Frame)
		}
	}
}

func ping(from, to netip.Addr, payload []byte) []byte {
	body := append([]byte{8, 0, 0, 0, 1, 2, 0, 3}, payload...)
	source, target := tcpip.AddrFromSlice(from.AsSlice()), tcpip.AddrFromSlice(to.AsSlice())
	if from.Is4() {
		header.ICMPv4(body).SetChecksum(^checksum.Checksum(body, 0))
		packet := append(make([]byte, 20), body...)
		header.IPv4(packet).Encode(&header.IPv4Fields{TotalLength: uint16(len(packet)), TTL: 9, Protocol: 1, SrcAddr: source, DstAddr: target})
		header.IPv4(packet).SetChecksum(^header.IPv4(packet).CalculateChecksum())
		return ethernet(edge.TypeIPv4, packet)
	}
	body[0] = 128
	header.ICMPv6(body).SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: body, Src: source, Dst: target}))
	packet := append(make([]byte, 40), body...)
	header.IPv6(packet).Encode(&header.IPv6Fields{PayloadLength: uint16(len(body)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 9, SrcAddr: source, DstAddr: target})
	return ethernet(edge.TypeIPv6, packet)
}

// valid says whether checksums of an IP packet with ICMP are right.
func valid(packet []byte) bool {
	if packet[0]>>4 == 4 {
		return header.IPv4(packet).IsChecksumValid() && checksum.Checksum(packet[20:], 0) == 0xffff
	}
	h := header.IPv6(packet)
	return header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: packet[40:], Src: h.SourceAddress(), Dst: h.DestinationAddress()}) == header.ICMPv6(packet[40:]).Checksum()
}

func TestPing(t *testing.T) {
	e := edge.New()
	for _, c := range []struct{ from, to netip.Addr }{{plan.Guest4, plan.Gateway4}, {plan.Guest6, plan.Gateway6}, {plan.Guest4, plan.Host4}} {
		got := e.Look(ping(c.from, c.to, []byte("hello")))
		if got.Action != edge.Reply || !bytes.HasSuffix(got.Frame, []byte("hello")) || !valid(got.Frame[14:]) {
			t.Errorf("ping of %s: %d %x", c.to, got.Action, got.Frame)
		}
	}
	for _, to := range []string{"93.184.216.34", "10.0.0.1"} {
		if got := e.Look(ping(plan.Guest4, netip.MustParseAddr(to), nil)); got.Action != edge.Ping || got.Target.String() != to {
			t.Errorf("ping of %s: %+v", to, got)
		}
	}
	outside := e.Look(ping(plan.Guest6, netip.MustParseAddr("2606::1"), []byte("abc")))
	if outside.Action != edge.Ping {
		t.Fatalf("%+v", outside)
	}
	if reply := edge.EchoReplyTo(append([]byte(nil), outside.Packet...), 77, []byte("xyz")); !valid(reply) || reply[47] != 77 || !bytes.HasSuffix(reply, []byte("xyz")) {
		t.Errorf("%x", reply)
	}
	for _, why := range []edge.Why{edge.AdminProhibited, edge.PortUnreachable, edge.HostUnreachable} {
		for _, to := range []string{"93.184.216.34", "2606::1"} {
			from := plan.Guest4
			if netip.MustParseAddr(to).Is6() {
				from = plan.Guest6
			}
			packet := e.Look(ping(from, netip.MustParseAddr(to), make([]byte, 900))).Packet
			if reply := edge.Unreachable(packet, why); !valid(reply) || len(reply) > 600 {
				t.Errorf("unreachable %d of %s: %x", why, to, reply)
			}
		}
	}
}

func TestDatagram(t *testing.T) {
	for _, c := range []struct{ from, to string }{{"1.2.3.4:5", "198.18.0.2:7"}, {"[2606::1]:5", "[fd62:616e:6765:72::2]:7"}} {
		for size := range 20 {
			packet := edge.Datagram(netip.MustParseAddrPort(c.from), netip.MustParseAddrPort(c.to), make([]byte, size))
			at := 20
			var source, target tcpip.Address
			if packet[0]>>4 == 6 {
				at, source, target = 40, header.IPv6(packet).SourceAddress(), header.IPv6(packet).DestinationAddress()
			} else {
				source, target = header.IPv4(packet).SourceAddress(), header.IPv4(packet).DestinationAddress()
			}
			udp := header.UDP(packet[at:])
			if !udp.IsChecksumValid(source, target, checksum.Checksum(udp.Payload(), 0)) || udp.SourcePort() != 5 || udp.DestinationPort() != 7 {
				t.Errorf("%x", packet)
			}
		}
	}
}

// Whatever comes: no panic, nothing is delivered that does not come from the guest, and every answer is a frame in order.
func FuzzLook(f *testing.F) {
	f.Add(arp(1, plan.Guest4, plan.Gateway4))
	f.Add(ping(plan.Guest4, plan.Gateway4, nil))
	f.Add(ping(plan.Guest6, netip.MustParseAddr("2606::1"), nil))
	f.Add(ping(plan.Guest4, netip.MustParseAddr("127.0.0.1"), nil))
	f.Add(ethernet(edge.TypeIPv4, edge.Datagram(netip.AddrPortFrom(plan.Guest4, 1), netip.MustParseAddrPort("8.8.8.8:53"), []byte("x"))))
	f.Add(ethernet(edge.TypeIPv6, edge.Datagram(netip.AddrPortFrom(plan.Guest6, 1), netip.MustParseAddrPort("[2606::1]:53"), []byte("x"))))
	f.Fuzz(func(t *testing.T, frame []byte) {
		before := bytes.Clone(frame)
		got := edge.New().Look(frame)
		if !bytes.Equal(before, frame) {
			t.Fatal("the frame was changed")
		}
		switch got.Action {
		case edge.Deliver4, edge.Deliver6, edge.Refuse, edge.Ping:
			from := netip.Addr{}
			if got.Packet[0]>>4 == 4 {
				from = netip.AddrFrom4([4]byte(got.Packet[12:16]))
			} else {
				from = netip.AddrFrom16([16]byte(got.Packet[8:24]))
			}
			if from != plan.Guest4 && from != plan.Guest6 {
				t.Fatalf("a packet from %s is let through", from)
			}
			edge.Destination(got.Packet)
			if reply := edge.Unreachable(got.Packet, edge.AdminProhibited); !valid(reply) {
				t.Fatalf("%x", reply)
			}
		case edge.Reply:
			if len(got.Frame) < 42 {
				t.Fatalf("%x", got.Frame)
			}
		}
		if got.Action == edge.Ping {
			edge.Echo(got.Packet)
		}
	})
}
