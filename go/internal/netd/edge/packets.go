package edge

import (
	"encoding/binary"
	"net/netip"
)

// Why is a reason for which a packet is returned to its sender as undeliverable.
type Why uint8

const (
	// AdminProhibited: policy.
	AdminProhibited Why = iota
	// PortUnreachable: nobody listens.
	PortUnreachable
	// HostUnreachable: there is no way.
	HostUnreachable
)

// Codes of "destination unreachable", in ICMP and in ICMPv6.
var (
	codes4 = [...]byte{AdminProhibited: 13, PortUnreachable: 3, HostUnreachable: 1}
	codes6 = [...]byte{AdminProhibited: 1, PortUnreachable: 4, HostUnreachable: 3}
)

// A returned packet is quoted up to this length, with which the reply fits every link.
const quoted = 512

// Unreachable is the ICMP packet that returns an IP packet of the guest. It seems to come from where the guest wanted to go.
func Unreachable(packet []byte, why Why) []byte {
	quote := packet[:min(len(packet), quoted)]
	if packet[0]>>4 == 4 {
		reply := make([]byte, ipv4Size+8+len(quote))
		header4(reply, protoICMP, packet[16:20], packet[12:16])
		reply[ipv4Size], reply[ipv4Size+1] = 3, codes4[why]
		copy(reply[ipv4Size+8:], quote)
		binary.BigEndian.PutUint16(reply[ipv4Size+2:], checksum(reply[ipv4Size:], 0))
		return reply
	}
	reply := make([]byte, ipv6Size+8+len(quote))
	header6(reply, protoICMPv6, addressAt(packet[24:40]), addressAt(packet[8:24]), 64)
	reply[ipv6Size], reply[ipv6Size+1] = 1, codes6[why]
	copy(reply[ipv6Size+8:], quote)
	binary.BigEndian.PutUint16(reply[ipv6Size+2:], icmp6Checksum(reply))
	return reply
}

// Destination tells what a refused packet was meant for: protocol number, and port where it has one.
func Destination(packet []byte) (protocol byte, port uint16) {
	protocol, body := packet[6], packet[min(len(packet), ipv6Size):]
	if packet[0]>>4 == 4 {
		protocol, body = packet[9], packet[ipv4Size:]
	}
	if (protocol == protoTCP || protocol == protoUDP) && len(body) >= 4 {
		port = binary.BigEndian.Uint16(body[2:])
	}
	return protocol, port
}

// EchoReply answers an echo request with a payload.
func EchoReply(request, payload []byte) []byte {
	if request[0]>>4 == 4 {
		reply := make([]byte, ipv4Size+8+len(payload))
		header4(reply, protoICMP, request[16:20], request[12:16])
		copy(reply[ipv4Size+4:], request[ipv4Size+4:ipv4Size+8])
		copy(reply[ipv4Size+8:], payload)
		binary.BigEndian.PutUint16(reply[ipv4Size+2:], checksum(reply[ipv4Size:], 0))
		return reply
	}
	reply := make([]byte, ipv6Size+8+len(payload))
	header6(reply, protoICMPv6, addressAt(request[24:40]), addressAt(request[8:24]), 64)
	reply[ipv6Size] = 129
	copy(reply[ipv6Size+4:], request[ipv6Size+4:ipv6Size+8])
	copy(reply[ipv6Size+8:], payload)
	binary.BigEndian.PutUint16(reply[ipv6Size+2:], icmp6Checksum(reply))
	return reply
}

// EchoReplyTo answers an earlier request of the same identifier, with a sequence number of its own.
func EchoReplyTo(request []byte, sequence uint16, payload []byte) []byte {
	at := ipv4Size
	if request[0]>>4 == 6 {
		at = ipv6Size
	}
	binary.BigEndian.PutUint16(request[at+6:], sequence)
	return EchoReply(request, payload)
}

// Echo takes an echo request that Look found apart: its identifier, its sequence number, what it carries.
func Echo(request []byte) (identifier, sequence uint16, payload []byte) {
	body := request[ipv4Size:]
	if request[0]>>4 == 6 {
		body = request[ipv6Size:]
	}
	return binary.BigEndian.Uint16(body[4:]), binary.BigEndian.Uint16(body[6:]), body[8:]
}

// Datagram is an IP packet with a UDP datagram.
func Datagram(from, to netip.AddrPort, payload []byte) []byte {
	size := ipv4Size
	if from.Addr().Is6() {
		size = ipv6Size
	}
	p := make([]byte, size+8+len(payload))
	udp := p[size:]
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	copy(udp[8:], payload)
	var sum uint16
	if size == ipv4Size {
		header4(p, protoUDP, from.Addr().AsSlice(), to.Addr().AsSlice())
		sum = transportChecksum(p[12:20], protoUDP, udp)
	} else {
		header6(p, protoUDP, from.Addr(), to.Addr(), 64)
		sum = transportChecksum(p[8:40], protoUDP, udp)
	}
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return p
}

func header4(p []byte, protocol byte, from, to []byte) {
	p[0] = 0x45
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[6] = 0x40 // do not fragment
	p[8], p[9] = 64, protocol
	copy(p[12:], from)
	copy(p[16:], to)
	binary.BigEndian.PutUint16(p[10:], checksum(p[:ipv4Size], 0))
}

func addressAt(raw []byte) netip.Addr { return netip.AddrFrom16([16]byte(raw)) }

// transportChecksum with the pseudo header of addresses (source and destination) and protocol.
func transportChecksum(addresses []byte, protocol byte, segment []byte) uint16 {
	var sum uint32
	for i := 0; i < len(addresses); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(addresses[i:]))
	}
	sum += uint32(protocol) + uint32(len(segment))
	return checksum(segment, sum)
}

// checksum of the internet, RFC 1071.
func checksum(data []byte, initial uint32) uint16 {
	sum := uint64(initial)
	for len(data) >= 2 {
		sum += uint64(data[0])<<8 | uint64(data[1])
		data = data[2:]
	}
	if len(data) == 1 {
		sum += uint64(data[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
