// Package frame carries Ethernet frames over a stream as QEMU does: a length of four bytes, big endian, before each.
package frame

import (
	"bufio"
	"encoding/binary"
	"io"
)

// HeaderSize is the size of the length before a frame.
const HeaderSize = 4

// Reader reads frames that are at most as long as it was told. Longer ones are skipped: where the next one begins is always known.
type Reader struct {
	stream  *bufio.Reader
	maximum int
	skipped uint64
}

// NewReader reads frames of at most maximum bytes.
func NewReader(stream io.Reader, maximum int) *Reader {
	return &Reader{stream: bufio.NewReaderSize(stream, 128<<10), maximum: maximum}
}

// Skipped is how many frames were too long.
func (r *Reader) Skipped() uint64 { return r.skipped }

// Next returns the next frame in the memory that allocate gives for its length. io.EOF: the stream ended between two frames.
func (r *Reader) Next(allocate func(size int) []byte) ([]byte, error) {
	for {
		header, err := r.stream.Peek(HeaderSize)
		if err != nil {
			if err == io.EOF && len(header) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		size := int64(binary.BigEndian.Uint32(header))
		if _, err := r.stream.Discard(HeaderSize); err != nil {
			return nil, err
		}
		if size > int64(r.maximum) {
			r.skipped++
			if _, err := io.CopyN(io.Discard, r.stream, size); err != nil {
				return nil, unexpected(err)
			}
			continue
		}
		frame := allocate(int(size))
		if _, err := io.ReadFull(r.stream, frame); err != nil {
			return nil, unexpected(err)
		}
		return frame, nil
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
