package sniff

import "encoding/binary"

// Types of TLS records.
const (
	recordChangeCipher = 20
	recordHandshake    = 22
)

// Retry looks at what a client sends after its ClientHello, and says where a second ClientHello begins: a server can ask for one
// (HelloRetryRequest), and goes by the name in that. ErrMore: it cannot be told yet. Not found: whatever follows is encrypted, or
// of a handshake that has no second hello.
func Retry(stream []byte) (at int, found bool, err error) {
	afterChange := false
	for {
		rest := stream[at:]
		if len(rest) < 5 {
			return 0, false, ErrMore
		}
		size := int(binary.BigEndian.Uint16(rest[3:]))
		if rest[0] == recordChangeCipher && size == 1 {
			if len(rest) < 6 {
				return 0, false, ErrMore
			}
			at += 6
			afterChange = true
			continue
		}
		if rest[0] != recordHandshake || size == 0 {
			return 0, false, nil
		}
		if len(rest) < min(5+size, 9) {
			return 0, false, ErrMore
		}
		if rest[5] != 1 {
			return 0, false, nil
		}
		// What stands behind a change of ciphers may be encrypted and begin like this by chance; then its length hardly fits.
		if size >= 4 && afterChange {
			length := int(rest[6])<<16 | int(rest[7])<<8 | int(rest[8])
			if length < size-4 || length > MaxHello {
				return 0, false, nil
			}
		}
		return at, true, nil
	}
}
