package sniff

import "bytes"

// Kind of protocol that a stream begins with.
type Kind uint8

const (
	// Unknown needs more bytes to tell.
	Unknown Kind = iota
	TLS
	// HTTP is HTTP/1, with a request line that says so or a method that is known.
	HTTP
	// HTTP2 is HTTP/2 without TLS.
	HTTP2
	SSH
	// Other is anything else.
	Other
)

// maxLine bounds a request line: a longer one is no HTTP that is proxied here.
const maxLine = 8 << 10

const http2Preface = "PRI * HTTP/2.0\r\n"

// Recognize says what a stream begins with, as soon as it can be told. It is generous in what it takes for HTTP, since servers are:
// blank space before it, unknown methods.
func Recognize(stream []byte) Kind {
	if len(stream) == 0 {
		return Unknown
	}
	if recordBegins(stream) {
		return TLS
	}
	if old, sure := oldHello(stream); old && !sure {
		return Unknown
	} else if old {
		return TLS
	}
	// What servers skip: white space and control characters in front.
	begin := bytes.TrimLeft(stream, " \t\r\n\v\f\x00")
	if len(begin) == 0 {
		if len(stream) > maxLine {
			return Other
		}
		return Unknown
	}
	if hasPrefix(begin, "SSH-") && len(begin) == len(stream) {
		return whole(begin, "SSH-", SSH)
	}
	line, _, complete := bytes.Cut(begin, []byte("\n"))
	method, rest, spaced := bytes.Cut(line, []byte(" "))
	if !spaced {
		method, rest, spaced = bytes.Cut(line, []byte("\t"))
	}
	if !isToken(bytes.TrimRight(method, "\r")) {
		return Other
	}
	switch {
	case !complete && len(line) > maxLine:
		return Other
	case !complete && !spaced && len(method) > 64:
		return Other
	case !complete:
		return Unknown
	case hasPrefix(begin, http2Preface):
		return HTTP2
	case spaced && (bytes.Contains(bytes.ToUpper(rest), []byte("HTTP/")) || knownMethod(method)):
		return HTTP
	}
	return Other
}

func knownMethod(method []byte) bool {
	switch string(bytes.ToUpper(method)) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH":
		return true
	}
	return false
}

// hasPrefix: of the two the shorter one begins the longer one.
func hasPrefix(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

func whole(b []byte, prefix string, kind Kind) Kind {
	if len(b) < len(prefix) {
		return Unknown
	}
	return kind
}

func isToken(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return len(b) > 0
}
