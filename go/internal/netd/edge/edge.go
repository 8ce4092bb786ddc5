// Package edge is the first to see what a guest sends: it lets IP packets of the guest through that our stack shall see, answers
// ARP, neighbour discovery and pings of the gateway, and drops the rest. It holds no state but the guest's MAC, and is pure
// otherwise: frames in, frames out.
package edge

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"banger.dev/banger/internal/netd/addresses"
	"banger.dev/banger/internal/netd/plan"
)

// EthernetSize is the size of an Ethernet header.
const EthernetSize = 14

// MaxFrame is the size of the longest frame that a guest with our MTU sends.
const MaxFrame = EthernetSize + plan.MTU

// Types of Ethernet frames.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeIPv6 = 0x86dd
)

// Numbers of protocols in IP headers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoFrag   = 44
	protoICMPv6 = 58
)

// Action is what to do with a frame.
type Action uint8

const (
	// Drop it: malformed, spoofed, or of a protocol that is not spoken here.
	Drop Action = iota
	// Ignore it: harmless chatter that needs no answer.
	Ignore
	// Reply with the frame in Result.
	Reply
	// Deliver4 and Deliver6 hand the IP packet to the stack.
	Deliver4
	Deliver6
	// Refuse the packet as undeliverable, and say so to the log: its target or its protocol is none that there could be.
	Refuse
	// Ping is an echo request to an address outside, in Result.
	Ping
)

// Result of looking at a frame.
type Result struct {
	Action Action
	// Frame to send, for Reply.
	Frame []byte
	// Packet is the IP packet, without padding, for Deliver, Refuse and Ping. It lies in the frame.
	Packet []byte
	// Target of a Ping, or of what is refused.
	Target netip.Addr
	// Reason of a Refuse, in the words of the log.
	Reason string
}

// Edge remembers the MAC of the guest's interface.
type Edge struct {
	guest atomic.Uint64
}

// New knows the MAC that guests are configured with; what a guest really uses is learned from its frames.
func New() *Edge {
	e := &Edge{}
	e.learn(plan.GuestMAC)
	return e
}

func (e *Edge) learn(mac []byte) {
	var raw [8]byte
	copy(raw[2:], mac)
	if value := binary.BigEndian.Uint64(raw[:]); value != e.guest.Load() {
		e.guest.Store(value)
	}
}

// Header returns the Ethernet header of frames to the guest.
func (e *Edge) Header(kind uint16) [EthernetSize]byte {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], e.guest.Load())
	var h [EthernetSize]byte
	copy(h[0:], raw[2:])
	copy(h[6:], plan.GatewayMAC)
	binary.BigEndian.PutUint16(h[12:], kind)
	return h
}

// Framed is an IP packet with the Ethernet header of its version.
func (e *Edge) Framed(packet []byte) []byte {
	kind := uint16(TypeIPv4)
	if packet[0]>>4 == 6 {
		kind = TypeIPv6
	}
	header := e.Header(kind)
	return append(header[:], packet...)
}

// Look says what to do with a frame of the guest. The frame is not changed.
func (e *Edge) Look(frame []byte) Result {
	if len(frame) < EthernetSize {
		return Result{}
	}
	source, payload := frame[6:12], frame[EthernetSize:]
	if source[0]&1 != 0 {
		return Result{}
	}
	var result Result
	switch binary.BigEndian.Uint16(frame[12:]) {
	case TypeARP:
		result = e.lookARP(payload, source)
	case TypeIPv4:
		result = e.lookIPv4(payload)
	case TypeIPv6:
		result = e.lookIPv6(payload, source)
	}
	if result.Action != Drop && result.Action != Ignore {
		e.learn(source)
	}
	return result
}

// impossible targets never leave a host, or should not: the stack would drop them without a word. Empty: it is not one.
func impossible(target netip.Addr) string {
	if _, tunnelled := addresses.Embedded(target); tunnelled && !target.Is4In6() {
		// A stack takes it for any other address; it is the policy's.
		return ""
	}
	switch at := addresses.Classify(target); at.Class {
	case addresses.Loopback, addresses.Invalid:
		return at.Class.String()
	}
	return ""
}

// lookARP answers for every address of the link that is not the guest's: who connects to one that nobody has is refused at once.
func (e *Edge) lookARP(p, source []byte) Result {
	if len(p) < 28 || string(p[:8]) != "\x00\x01\x08\x00\x06\x04\x00\x01" {
		return Result{}
	}
	sender, target := netip.AddrFrom4([4]byte(p[14:18])), netip.AddrFrom4([4]byte(p[24:28]))
	if sender != plan.Guest4 && !sender.IsUnspecified() {
		return Result{}
	}
	if target == plan.Guest4 || !plan.OnLink(target) || sender != plan.Guest4 {
		return Result{Action: Ignore}
	}
	e.learn(source)
	header := e.Header(TypeARP)
	reply := append(header[:], "\x00\x01\x08\x00\x06\x04\x00\x02"...)
	reply = append(append(reply, plan.GatewayMAC...), p[24:28]...)
	reply = append(append(reply, p[8:14]...), p[14:18]...)
	return Result{Action: Reply, Frame: reply}
}
