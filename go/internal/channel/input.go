package channel

import (
	"errors"
	"sync"
	"time"
)

const (
	inputBufferBytes = 64 << 10
	// A SYN in the middle of a session counts only after a silence: data that happens to look like one comes in one
	// burst with the frame header before it. Hosts repeat their SYN after a second.
	resyncSilence = 250 * time.Millisecond
)

var errResync = errors.New("the host began a new session")

// input buffers what comes from the host, for the handshake and for the session after it. It keeps the chunks in which
// bytes came visible, because a host that reconnected unnoticed shows itself by a chunk that is one SYN.
type input struct {
	mu      sync.Mutex
	link    Link
	buffer  []byte
	pending []byte
	last    time.Time
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

// read serves a session: a hang-up is io.EOF, and a SYN after a silence is errResync and stays pending.
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
	n := copy(p, in.pending)
	in.pending = in.pending[n:]
	return n, nil
}

// unread puts bytes before what is pending.
func (in *input) unread(b []byte) {
	in.pending = append(b[:len(b):len(b)], in.pending...)
}
