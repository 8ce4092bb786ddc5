package sniff

import "encoding/binary"

// LooksLikeQUIC says whether a datagram begins a QUIC connection: a long header of any version, as large as such datagrams must be.
func LooksLikeQUIC(datagram []byte) bool {
	return len(datagram) >= 1200 && datagram[0]&0x80 != 0 && binary.BigEndian.Uint32(datagram[1:]) != 0
}
