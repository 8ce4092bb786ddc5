package netd_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/netdtest"
	"banger.dev/banger/internal/netd/plan"
	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// syn is a TCP connection attempt as an IP packet.
func syn(from, to netip.AddrPort) []byte {
	segment := make([]byte, header.TCPMinimumSize)
	tcp := header.TCP(segment)
	tcp.Encode(&header.TCPFields{SrcPort: from.Port(), DstPort: to.Port(), SeqNum: 1, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 1000})
	source, target := tcpip.AddrFromSlice(from.Addr().AsSlice()), tcpip.AddrFromSlice(to.Addr().AsSlice())
	tcp.SetChecksum(^tcp.CalculateChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, source, target, uint16(len(segment)))))
	return ip(from.Addr(), to.Addr(), header.TCPProtocolNumber, segment)
}

func ip(from, to netip.Addr, protocol tcpip.TransportProtocolNumber, payload []byte) []byte {
	source, target := tcpip.AddrFromSlice(from.AsSlice()), tcpip.AddrFromSlice(to.AsSlice())
	if from.Is4() {
		packet := append(make([]byte, header.IPv4MinimumSize), payload...)
		h := header.IPv4(packet)
		h.Encode(&header.IPv4Fields{TotalLength: uint16(len(packet)), TTL: 64, Protocol: uint8(protocol), SrcAddr: source, DstAddr: target})
		h.SetChecksum(^h.CalculateChecksum())
		return packet
	}
	packet := append(make([]byte, header.IPv6MinimumSize), payload...)
	header.IPv6(packet).Encode(&header.IPv6Fields{PayloadLength: uint16(len(payload)), TransportProtocol: protocol, HopLimit: 64, SrcAddr: source, DstAddr: target})
	return packet
}

// await a frame of an IP packet for which want says yes.
func await(t *testing.T, tap <-chan []byte, what string, want func(packet []byte) bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case frame := <-tap:
			if len(frame) > edge.EthernetSize+20 && want(frame[edge.EthernetSize:]) {
				return
			}
		case <-deadline:
			t.Fatalf("nothing came that is %s", what)
		}
	}
}

func isProhibited(p []byte) bool {
	return p[0]>>4 == 4 && p[9] == 1 && p[20] == 3 && p[21] == 13 || p[0]>>4 == 6 && p[6] == 58 && p[40] == 1 && p[41] == 1
}

func isFrom(p []byte, address netip.Addr) bool {
	if p[0]>>4 == 4 {
		return netip.AddrFrom4([4]byte(p[12:16])) == address
	}
	return netip.AddrFrom16([16]byte(p[8:24])) == address
}

func isReset(from netip.AddrPort) func([]byte) bool {
	return func(p []byte) bool {
		if p[0]>>4 == 4 {
			return p[9] == 6 && netip.AddrFrom4([4]byte(p[12:16])) == from.Addr() && binary.BigEndian.Uint16(p[20:]) == from.Port() && p[33]&4 != 0
		}
		return len(p) >= 60 && p[6] == 6 && netip.AddrFrom16([16]byte(p[8:24])) == from.Addr() && p[53]&4 != 0
	}
}

// What no stack of an honest guest sends.
func TestRawAttemptsAreReset(t *testing.T) {
	w := netdtest.NewWorld(t)
	network, guest := w.Start(`{"mode":"MODE_OPEN","rules":[{"action":"ACTION_ALLOW","target":"0.0.0.0/0"},{"action":"ACTION_ALLOW","target":"::/0"}]}`)
	tap := guest.Tap()
	for i, target := range []string{
		"127.0.0.1:22", "127.0.0.53:53", "127.255.255.254:80", "0.0.0.0:22", "169.254.169.254:80", "[::1]:22", "[fe80::1]:22",
		"[::ffff:127.0.0.1]:22", "[::127.0.0.1]:22", "[64:ff9b::7f00:1]:22", "[2002:7f00:1::1]:22", "[2002:a9fe:a9fe::1]:80",
		"[64:ff9b::a9fe:a9fe]:80", "[fd00:ec2::254]:80", "[2606:4700::5efe:7f00:1]:22", "[fd62:616e:6765:72::1]:22", "198.18.0.1:22",
	} {
		to := at(target)
		from := netip.AddrPortFrom(plan.Guest4, uint16(2000+i))
		if to.Addr().Is6() {
			from = netip.AddrPortFrom(plan.Guest6, from.Port())
		}
		guest.Packet(syn(from, to))
		await(t, tap, "a refusal from "+target, func(p []byte) bool { return isReset(to)(p) || isProhibited(p) && isFrom(p, to.Addr()) })
	}
	open, total := network.Flows.Count(1)
	if open != 0 || total != 0 {
		t.Errorf("%d connections were opened", total)
	}
}

func TestSpoofedAndMalformedFramesAreDropped(t *testing.T) {
	w := netdtest.NewWorld(t)
	network, guest := w.Start(`{"mode":"MODE_OPEN"}`)
	to := at("93.184.216.34:80")
	good := syn(netip.AddrPortFrom(plan.Guest4, 1), to)
	changed := func(change func(p []byte)) []byte {
		p := append([]byte(nil), good...)
		change(p)
		header.IPv4(p).SetChecksum(0)
		header.IPv4(p).SetChecksum(^checksum.Checksum(p[:20], 0))
		return p
	}
	options := append(append(append([]byte(nil), good[:20]...), 0x83, 7, 4, 10, 0, 0, 1, 0), good[20:]...)
	options[0] = 0x47
	binary.BigEndian.PutUint16(options[2:], uint16(len(options)))
	header.IPv4(options).SetChecksum(0)
	header.IPv4(options).SetChecksum(^checksum.Checksum(options[:28], 0))
	// It is refused as a protocol that there is not: no drop.
	routed := ip(plan.Guest6, netip.MustParseAddr("2606:4700::1"), 43, append([]byte{6, 2, 0, 1, 0, 0, 0, 0}, make([]byte, 40)...))
	packets := [][]byte{
		syn(at("10.1.2.3:1"), to),
		syn(at("127.0.0.1:1"), to),
		syn(at("198.18.0.1:1"), to),
		syn(at("[fd62:616e:6765:72::1]:1"), at("[2606:4700::1]:80")),
		syn(at("[::1]:1"), at("[2606:4700::1]:80")),
		changed(func(p []byte) { binary.BigEndian.PutUint16(p[2:], 65000) }),
		changed(func(p []byte) { p[0] = 0x44 }),
		changed(func(p []byte) { p[0] = 0x4f }),
		options,
		routed,
		good[:19],
		{0x45},
		ip(plan.Guest4, netip.MustParseAddr("8.8.8.8"), 1, []byte{8, 0, 0, 0}),
	}
	for _, p := range packets {
		guest.Packet(p)
	}
	guest.Frame(nil)
	guest.Frame([]byte{1, 2, 3})
	guest.Frame(make([]byte, 200<<10))
	// A question that is answered has passed behind all of them.
	guest.Ask(t, "x.example", dnsmessage.TypeA)
	if got, want := network.Link.Counters.Dropped.Load(), uint64(len(packets)+1); got != want {
		t.Errorf("%d frames were dropped, of %d that are no good", got, want)
	}
	if _, total := network.Flows.Count(1); total != 0 {
		t.Errorf("%d connections were opened", total)
	}
}

func TestOtherProtocolsAreRefused(t *testing.T) {
	w := netdtest.NewWorld(t)
	_, guest := w.Start(`{"mode":"MODE_OPEN"}`)
	tap := guest.Tap()
	for _, protocol := range []tcpip.TransportProtocolNumber{47, 50, 132, 4, 41} {
		guest.Packet(ip(plan.Guest4, netip.MustParseAddr("93.184.216.34"), protocol, make([]byte, 60)))
		await(t, tap, "admin prohibited", func(p []byte) bool { return p[9] == 1 && p[20] == 3 && p[21] == 13 && p[28+9] == byte(protocol) })
	}
}

func TestFragments(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("a.example", "93.184.216.34")
	network, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"a.example"}]}`)
	tap := guest.Tap()
	question := netdtest.Question(t, "a.example", dnsmessage.TypeA)
	var whole []byte
	fragment := func(id uint16, from, to int, more bool, target netip.Addr) []byte {
		whole = edge.Datagram(netip.AddrPortFrom(plan.Guest4, 999), netip.AddrPortFrom(target, 53), question)
		p := ip(plan.Guest4, target, 17, whole[20+from:20+to])
		h := header.IPv4(p)
		h.SetID(id)
		flags := uint8(0)
		if more {
			flags = header.IPv4FlagMoreFragments
		}
		h.SetFlagsFragmentOffset(flags, uint16(from))
		h.SetChecksum(0)
		h.SetChecksum(^h.CalculateChecksum())
		return p
	}
	// In the wrong order, joined as it should be.
	guest.Packet(fragment(1, 16, 8+len(question), false, plan.Gateway4))
	guest.Packet(fragment(1, 0, 16, true, plan.Gateway4))
	await(t, tap, "an answer to a question in fragments", func(p []byte) bool { return p[9] == 17 && binary.BigEndian.Uint16(p[20:]) == 53 })
	// To where nothing is allowed: refused once it is whole.
	denied := netip.MustParseAddr("8.8.8.8")
	guest.Packet(fragment(2, 0, 16, true, denied))
	guest.Packet(fragment(2, 16, 8+len(question), false, denied))
	await(t, tap, "admin prohibited", func(p []byte) bool { return p[9] == 1 && p[20] == 3 && p[21] == 13 })
	// Thousands of beginnings without an end hold a bounded amount, and do no harm.
	for i := range 20000 {
		guest.Packet(fragment(uint16(3+i), 0, 16, true, denied))
	}
	if code, _ := guest.Ask(t, "a.example", dnsmessage.TypeA); code != 0 {
		t.Errorf("after a flood of fragments a question was answered with %s", code)
	}
	if open, _ := network.Flows.Count(2); open != 0 {
		t.Errorf("%d UDP flows are open", open)
	}
}
