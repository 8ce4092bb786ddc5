package channel

const (
	prefaceBytes     = 24
	frameHeaderBytes = 9
)

// frames follows the bytes of an HTTP/2 stream just far enough to know where frames begin. The zero value stands
// before a frame.
type frames struct {
	// left counts the bytes up to the end of the frame's payload (or of the connection preface).
	left   int
	header [frameHeaderBytes]byte
	have   int
}

// between says whether the next byte begins a frame.
func (f *frames) between() bool { return f.left == 0 && f.have == 0 }

// limit bounds n by the end of the header or payload that the next byte belongs to.
func (f *frames) limit(n int) int {
	if f.left > 0 {
		return min(n, f.left)
	}
	return min(n, frameHeaderBytes-f.have)
}

// advance takes note of bytes that limit allowed.
func (f *frames) advance(b []byte) {
	if f.left > 0 {
		f.left -= len(b)
		return
	}
	f.have += copy(f.header[f.have:], b)
	if f.have == frameHeaderBytes {
		f.left = int(f.header[0])<<16 | int(f.header[1])<<8 | int(f.header[2])
		f.have = 0
	}
}
