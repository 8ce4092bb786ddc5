package channel

import (
	"bytes"
	"errors"
	"sync"
	"time"
)

const (
	inputBufferBytes = 64 << 10
	// A SYN inside a frame counts only after a silence: data that happens to look like one comes in one burst with the
	// frame header before it. A fork is captured inside a frame now and then, and its host repeats the SYN after 130 ms, and longer pauses.
	resyncSilence = 100 * time.Millisecond
)

var (
	errResync = errors.New("the host began a new session")
	synStart  = []byte("\n" + synPrefix)
)

// input buffers what comes from the host, for the handshake and for the session after it. It notices a host that
// reconnected before the end of the stream was seen: between two HTTP/2 frames a SYN can be nothing else (as a frame it
// would be longer than any that we allow), and inside one it comes alone, as one chunk, after a silence.
type input struct {
	mu      sync.Mutex
	link    Link
	buffer  []byte
	pending []byte
	last    time.Time
	frames  frames
}

func newInput(link Link) *input {
	return &input{link: link, buffer: make([]byte, inputBufferBytes)}
}

// readByte serves the handshake: hang-ups of the host are waited through.
func (in *input) readByte() (byte, error) {
	if len(in.pending) == 0 {
		n, err := in.link.ReadNext(in.buffer)
		if err != nil {
			return 0, err
		}
		in.pending, in.last = in.buffer[:n], time.Now()
	}
	b := in.pending[0]
	in.pending = in.pending[1:]
	return b, nil
}

// read serves a session: a hang-up is io.EOF, and a SYN is errResync and stays pending. It returns no bytes of two frames.
func (in *input) read(p []byte) (int, error) {
	if len(in.pending) == 0 {
		n, err := in.link.Read(in.buffer)
		if err != nil {
			return 0, err
		}
		now := time.Now()
		silent := now.Sub(in.last) >= resyncSilence
		in.pending, in.last = in.buffer[:n], now
		if silent && isSyn(in.pending) {
			return 0, errResync
		}
	}
	if in.frames.between() && bytes.HasPrefix(in.pending, synStart) {
		return 0, errResync
	}
	n := copy(p, in.pending[:in.frames.limit(len(in.pending))])
	in.frames.advance(in.pending[:n])
	in.pending = in.pending[n:]
	return n, nil
}

// beginSession puts the first line of the HTTP/2 preface, which the handshake took, back before what is pending.
func (in *input) beginSession(taken string) {
	in.pending = append([]byte(taken), in.pending...)
	in.frames = frames{left: prefaceBytes}
}
