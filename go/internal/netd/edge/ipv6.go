package edge

import (
	"encoding/binary"
	"net/netip"

	"banger.dev/banger/internal/netd/plan"
)

const ipv6Size = 40

func (e *Edge) lookIPv6(p, source []byte) Result {
	if len(p) < ipv6Size || p[0]>>4 != 6 {
		return Result{}
	}
	size := ipv6Size + int(binary.BigEndian.Uint16(p[4:]))
	if size > len(p) {
		return Result{}
	}
	p = p[:size]
	from, target := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	next, body := p[6], p[ipv6Size:]
	if next == protoICMPv6 {
		if result, done := e.lookNeighbour(p, from, target, source); done {
			return result
		}
	}
	if next == 0 && from.IsLinkLocalUnicast() || next == 0 && from.IsUnspecified() {
		// Multicast listener reports, behind a hop-by-hop header.
		return Result{Action: Ignore}
	}
	if from != plan.Guest6 {
		return Result{}
	}
	if target.IsMulticast() || target == plan.Guest6 {
		return Result{Action: Ignore}
	}
	if reason := impossible(target); reason != "" {
		return Result{Action: Refuse, Packet: p, Target: target, Reason: reason}
	}
	if next == protoFrag {
		if len(body) < 8 {
			return Result{}
		}
		// Of the other headers that may stand here, none has a use.
		if body[0] == protoTCP || body[0] == protoUDP {
			return Result{Action: Deliver6, Packet: p}
		}
		return Result{}
	}
	switch next {
	case protoTCP, protoUDP:
		return Result{Action: Deliver6, Packet: p}
	case protoICMPv6:
		if len(body) < 8 || icmp6Checksum(p) != 0 {
			return Result{}
		}
		if body[0] != 128 || body[1] != 0 {
			return Result{Action: Ignore}
		}
		if plan.Gateway(target) || plan.Host(target) {
			return Result{Action: Reply, Frame: e.Framed(EchoReply(p, body[8:]))}
		}
		return Result{Action: Ping, Packet: p, Target: target}
	}
	return Result{Action: Refuse, Packet: p, Target: target, Reason: "protocol"}
}

// lookNeighbour answers neighbour solicitations for addresses of the link as lookARP does, and swallows the rest of neighbour discovery.
func (e *Edge) lookNeighbour(p []byte, from, target netip.Addr, source []byte) (Result, bool) {
	body := p[ipv6Size:]
	if len(body) < 8 || body[0] < 130 || body[0] > 143 {
		return Result{}, false
	}
	if from != plan.Guest6 && !from.IsLinkLocalUnicast() && !from.IsUnspecified() {
		return Result{}, true
	}
	// 255: from this link, and from no router.
	if body[0] != 135 || body[1] != 0 || p[7] != 255 || len(body) < 24 || icmp6Checksum(p) != 0 {
		return Result{Action: Ignore}, true
	}
	wanted := netip.AddrFrom16([16]byte(body[8:24]))
	if wanted == plan.Guest6 || !plan.OnLink(wanted) || from.IsUnspecified() {
		return Result{Action: Ignore}, true
	}
	e.learn(source)
	reply := make([]byte, ipv6Size+32)
	header6(reply, protoICMPv6, wanted, from, 255)
	advert := reply[ipv6Size:]
	advert[0] = 136
	advert[4] = 0xe0 // router, solicited, override
	copy(advert[8:], body[8:24])
	advert[24], advert[25] = 2, 1
	copy(advert[26:], plan.GatewayMAC)
	binary.BigEndian.PutUint16(advert[2:], icmp6Checksum(reply))
	return Result{Action: Reply, Frame: e.Framed(reply)}, true
}

func header6(p []byte, next byte, from, to netip.Addr, hops byte) {
	p[0] = 0x60
	binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6Size))
	p[6], p[7] = next, hops
	copy(p[8:], from.AsSlice())
	copy(p[24:], to.AsSlice())
}

// icmp6Checksum over a packet whose checksum is in it is 0.
func icmp6Checksum(p []byte) uint16 { return transportChecksum(p[8:40], protoICMPv6, p[ipv6Size:]) }
