package edge

import (
	"encoding/binary"
	"net/netip"

	"banger.dev/banger/internal/netd/plan"
)

const ipv4Size = 20

func (e *Edge) lookIPv4(p []byte) Result {
	// Options have no use here, and have been a way around filters (source routes).
	if len(p) < ipv4Size || p[0] != 0x45 {
		return Result{}
	}
	size := int(binary.BigEndian.Uint16(p[2:]))
	if size < ipv4Size || size > len(p) || checksum(p[:ipv4Size], 0) != 0 {
		return Result{}
	}
	p = p[:size]
	source, target := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	if source != plan.Guest4 {
		return Result{}
	}
	if reason := impossible(target); reason != "" {
		return Result{Action: Refuse, Packet: p, Target: target, Reason: reason}
	}
	fragment := binary.BigEndian.Uint16(p[6:])&0x3fff != 0
	switch p[9] {
	case protoTCP, protoUDP:
		if target.IsMulticast() || target == plan.Guest4 {
			return Result{Action: Ignore}
		}
		return Result{Action: Deliver4, Packet: p}
	case protoICMP:
		if fragment || len(p) < ipv4Size+8 || checksum(p[ipv4Size:], 0) != 0 {
			return Result{}
		}
		if p[ipv4Size] != 8 || p[ipv4Size+1] != 0 {
			// Errors and replies: nothing here waits for them.
			return Result{Action: Ignore}
		}
		if plan.Gateway(target) || plan.Host(target) {
			return Result{Action: Reply, Frame: e.Framed(EchoReply(p, p[ipv4Size+8:]))}
		}
		return Result{Action: Ping, Packet: p, Target: target}
	case 2: // IGMP
		return Result{Action: Ignore}
	}
	if fragment {
		return Result{}
	}
	// A protocol that does not exist here is refused like any other denied connection.
	return Result{Action: Refuse, Packet: p, Target: target, Reason: "protocol"}
}
