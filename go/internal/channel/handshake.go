package channel

import (
	"bytes"
	"fmt"
	"io"
)

// A line of the handshake has a fixed beginning, 32 hex digits and a short number; what is longer is garbage.
const (
	synPrefix    = "BANGER/1 SYN "
	ackPrefix    = "BANGER/1 ACK "
	nonceLength  = 32
	maxDigits    = 10
	maxLineBytes = len(synPrefix) + nonceLength + 1 + maxDigits
	prefaceLine  = "PRI * HTTP/2.0\r"
)

// synchronise drops what it reads until the host has said SYN, answers each SYN, and returns when an HTTP/2 preface
// begins. The whole preface is left in the input.
func synchronise(in *input, out io.Writer) error {
	acknowledged := false
	for {
		line, err := readLine(in)
		if err != nil {
			return err
		}
		if tail, ok := parseSyn(line); ok {
			if _, err := fmt.Fprintf(out, "\n%s%s\n", ackPrefix, tail); err != nil {
				return err
			}
			acknowledged = true
			continue
		}
		if acknowledged && string(line) == prefaceLine {
			in.beginSession(prefaceLine + "\n")
			return nil
		}
	}
}

// readLine returns the next line without its line feed; of a line that is too long it returns a part that matches nothing.
func readLine(in *input) ([]byte, error) {
	line := make([]byte, 0, maxLineBytes+1)
	for {
		b, err := in.readByte()
		if err != nil {
			return nil, err
		}
		if b == '\n' {
			return line, nil
		}
		if len(line) <= maxLineBytes {
			line = append(line, b)
		}
	}
}

// parseSyn returns "<nonce> <n>" of a SYN line.
func parseSyn(line []byte) (tail string, ok bool) {
	rest, found := bytes.CutPrefix(line, []byte(synPrefix))
	if !found || len(line) > maxLineBytes || len(rest) < nonceLength+2 || rest[nonceLength] != ' ' {
		return "", false
	}
	for _, b := range rest[:nonceLength] {
		if !(b >= '0' && b <= '9' || b >= 'a' && b <= 'f') {
			return "", false
		}
	}
	for _, b := range rest[nonceLength+1:] {
		if b < '0' || b > '9' {
			return "", false
		}
	}
	return string(rest), true
}

// isSyn says whether a chunk is one whole SYN, as a host writes it, and nothing else.
func isSyn(chunk []byte) bool {
	if len(chunk) < 2 || chunk[0] != '\n' || chunk[len(chunk)-1] != '\n' {
		return false
	}
	_, ok := parseSyn(chunk[1 : len(chunk)-1])
	return ok
}
