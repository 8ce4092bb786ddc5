// Package sniff reads the first bytes that a client sends, as far as they say with whom it wants to speak: the server name of a
// TLS ClientHello, and whether it is HTTP. What it cannot be sure about it does not guess.
package sniff

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"banger.dev/banger/internal/netd/names"
)

// MaxHello bounds what is read until a ClientHello must be complete. Post-quantum key shares and tickets make some kilobytes.
const MaxHello = 32 << 10

// ErrMore says that more bytes are needed to tell.
var ErrMore = errors.New("more bytes are needed")

// errHello is a ClientHello that is not in order.
var errHello = errors.New("not a ClientHello in order")

// Hello is what a ClientHello says.
type Hello struct {
	// Name in normal form; empty: the client says none.
	Name string
	// ALPN protocols that the client speaks.
	Protocols []string
	// Encrypted: it carries an encrypted inner hello (or what looks like one), and Name may be of a stand-in.
	Encrypted bool
	// Size of its records in the stream.
	Size int
}

// recordBegins says whether a stream begins like a record with a handshake. Servers differ in which versions they let stand there:
// it is TLS with any, and in order only with those that there are.
func recordBegins(b []byte) bool { return len(b) >= 1 && b[0] == recordHandshake }

func recordInOrder(b []byte) bool {
	return recordBegins(b) && (len(b) < 2 || b[1] == 3) && (len(b) < 3 || b[2] <= 4)
}

// oldHello says whether a stream begins with a ClientHello in the form of SSL 2, which some servers still take: it can have no name. Five
// bytes are needed to be sure.
func oldHello(b []byte) (is, sure bool) {
	for i, fits := range []func(byte) bool{
		func(c byte) bool { return c&0x80 != 0 }, func(byte) bool { return true }, func(c byte) bool { return c == 1 },
		func(c byte) bool { return c == 3 || c == 0 }, func(c byte) bool { return b[3] == 3 || c == 2 },
	} {
		if len(b) <= i {
			return true, false
		}
		if !fits(b[i]) {
			return false, true
		}
	}
	return true, true
}

// LooksLikeTLS says whether a stream begins like TLS, as far as it is there.
func LooksLikeTLS(b []byte) bool {
	old, _ := oldHello(b)
	return len(b) > 0 && (recordBegins(b) || old)
}

// ParseHello reads a ClientHello from the beginning of a stream, in however many TLS records it comes. ErrMore: not complete yet.
func ParseHello(stream []byte) (Hello, error) {
	message, size, err := handshakeMessage(stream)
	if err != nil {
		return Hello{}, err
	}
	hello, err := parseClientHello(message)
	hello.Size = size
	return hello, err
}

// handshakeMessage joins the records of the first handshake message, and returns its body, and the size of the records.
func handshakeMessage(stream []byte) ([]byte, int, error) {
	var joined []byte
	taken := 0
	for {
		if len(stream) > 0 && !recordInOrder(stream) {
			return nil, 0, errHello
		}
		if len(stream) < 5 {
			return nil, 0, ErrMore
		}
		size := int(binary.BigEndian.Uint16(stream[3:]))
		if size == 0 || size > 16<<10 {
			return nil, 0, errHello
		}
		part := stream[5:min(len(stream), 5+size)]
		joined = append(joined, part...)
		if len(joined) > 0 && joined[0] != 1 {
			return nil, 0, errHello
		}
		if len(joined) >= 4 {
			whole := 4 + int(joined[1])<<16 + int(joined[2])<<8 + int(joined[3])
			if whole > MaxHello {
				return nil, 0, errHello
			}
			if len(joined) >= whole {
				if len(joined) > whole {
					// Nothing may follow a ClientHello in its record.
					return nil, 0, errHello
				}
				return joined[4:], taken + 5 + size, nil
			}
		}
		if len(part) < size {
			return nil, 0, ErrMore
		}
		stream = stream[5+size:]
		taken += 5 + size
	}
}

func parseClientHello(b []byte) (Hello, error) {
	r := reader{b}
	var hello Hello
	r.skip(2 + 32)
	r.vector8()
	r.vector16()
	r.vector8()
	if r.b != nil && len(r.b) == 0 {
		return hello, nil
	}
	extensions := reader{r.vector16()}
	if r.b == nil || len(r.b) != 0 {
		return Hello{}, errHello
	}
	seen := map[uint16]bool{}
	for len(extensions.b) > 0 {
		kind, ok := extensions.uint16()
		body := extensions.vector16()
		if !ok || extensions.b == nil || seen[kind] {
			return Hello{}, errHello
		}
		seen[kind] = true
		var err error
		switch kind {
		case 0:
			hello.Name, err = serverName(body)
		case 16:
			hello.Protocols, err = protocols(body)
		case 0xfe0d:
			hello.Encrypted = true
		}
		if err != nil {
			return Hello{}, err
		}
	}
	return hello, nil
}

// serverName takes exactly one host name: servers differ in which of several they take.
func serverName(body []byte) (string, error) {
	r := reader{body}
	list := reader{r.vector16()}
	if r.b == nil || len(r.b) != 0 {
		return "", errHello
	}
	kind, ok := list.uint8()
	name := list.vector16()
	if !ok || kind != 0 || list.b == nil || len(list.b) != 0 {
		return "", errHello
	}
	if _, err := netip.ParseAddr(string(name)); err == nil {
		// Not allowed, but common; it is no name.
		return "", nil
	}
	normal, err := names.Normalize(string(name))
	if err != nil {
		return "", errHello
	}
	return normal, nil
}

func protocols(body []byte) ([]string, error) {
	r := reader{body}
	list := reader{r.vector16()}
	if r.b == nil || len(r.b) != 0 {
		return nil, errHello
	}
	var found []string
	for len(list.b) > 0 {
		name := list.vector8()
		if list.b == nil {
			return nil, errHello
		}
		found = append(found, string(name))
	}
	return found, nil
}

// reader takes a structure apart; after a failure its rest is nil for good, which an end is not.
type reader struct{ b []byte }

func (r *reader) take(n int) []byte {
	if r.b == nil || len(r.b) < n {
		r.b = nil
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) uint8() (uint8, bool) {
	b := r.take(1)
	if b == nil {
		return 0, false
	}
	return b[0], true
}

func (r *reader) uint16() (uint16, bool) {
	b := r.take(2)
	if b == nil {
		return 0, false
	}
	return binary.BigEndian.Uint16(b), true
}

func (r *reader) vector8() []byte {
	n, ok := r.uint8()
	if !ok {
		return nil
	}
	return r.take(int(n))
}

func (r *reader) vector16() []byte {
	n, ok := r.uint16()
	if !ok {
		return nil
	}
	return r.take(int(n))
}
