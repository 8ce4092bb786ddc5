package frame

import (
	"encoding/binary"
	"net"
	"sync"
	"time"
)

// A guest that takes nothing from its queue holds up to this much of ours. What comes then is lost, as on any network.
const (
	maxQueuedBytes  = 8 << 20
	maxQueuedFrames = 4096
	// Senders wait that long for room before a frame is lost, but only while the queue moves.
	patience = 20 * time.Millisecond
	// IOV_MAX is 1024; a frame has some three parts.
	maxPartsAtOnce = 768
)

// Outgoing is a frame whose parts are owned by someone else until release is called.
type Outgoing struct {
	Parts   [][]byte
	Release func()
}

// Writer sends frames from a bounded queue, many in one system call. Its methods may be called by many.
type Writer struct {
	stream net.Conn

	mu     sync.Mutex
	ready  *sync.Cond
	room   chan struct{}
	queue  []Outgoing
	bytes  int
	stuck  bool
	closed bool
	lost   uint64
}

// NewWriter starts the goroutine that writes. It ends with Close, or when the stream fails.
func NewWriter(stream net.Conn) *Writer {
	w := &Writer{stream: stream, room: make(chan struct{}, 1)}
	w.ready = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// Send queues a frame, and says whether it was taken. It is released in any case.
func (w *Writer) Send(frame Outgoing) bool {
	size := HeaderSize
	for _, part := range frame.Parts {
		size += len(part)
	}
	w.mu.Lock()
	if w.full() && !w.stuck && !w.closed {
		w.waitForRoom()
	}
	if w.closed || w.full() {
		w.lost++
		w.stuck = !w.closed
		w.mu.Unlock()
		frame.Release()
		return false
	}
	w.queue = append(w.queue, frame)
	w.bytes += size
	w.mu.Unlock()
	w.ready.Signal()
	return true
}

// Lost is how many frames the guest was too slow for.
func (w *Writer) Lost() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

// Close drops what is queued.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.ready.Broadcast()
}

func (w *Writer) full() bool { return w.bytes >= maxQueuedBytes || len(w.queue) >= maxQueuedFrames }

// waitForRoom is called with the lock, and returns with it.
func (w *Writer) waitForRoom() {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for w.full() && !w.closed {
		w.mu.Unlock()
		select {
		case <-w.room:
			w.mu.Lock()
		case <-deadline.C:
			w.mu.Lock()
			return
		}
	}
}

func (w *Writer) run() {
	var batch []Outgoing
	var parts net.Buffers
	for {
		w.mu.Lock()
		for len(w.queue) == 0 && !w.closed {
			w.ready.Wait()
		}
		if w.closed {
			queue := w.queue
			w.queue = nil
			w.mu.Unlock()
			release(queue)
			return
		}
		batch, w.queue = w.queue, batch[:0]
		w.bytes, w.stuck = 0, false
		w.mu.Unlock()
		select {
		case w.room <- struct{}{}:
		default:
		}
		if err := w.write(batch, parts); err != nil {
			release(batch)
			w.Close()
			continue
		}
		release(batch)
	}
}

func (w *Writer) write(batch []Outgoing, parts net.Buffers) error {
	headers := make([]byte, HeaderSize*len(batch))
	parts = parts[:0]
	for i, frame := range batch {
		size := 0
		for _, part := range frame.Parts {
			size += len(part)
		}
		header := headers[i*HeaderSize:][:HeaderSize]
		binary.BigEndian.PutUint32(header, uint32(size))
		parts = append(append(parts, header), frame.Parts...)
		if len(parts) >= maxPartsAtOnce || i == len(batch)-1 {
			rest := parts
			if _, err := rest.WriteTo(w.stream); err != nil {
				return err
			}
			parts = parts[:0]
		}
	}
	return nil
}

func release(frames []Outgoing) {
	for i := range frames {
		frames[i].Release()
		frames[i] = Outgoing{}
	}
}
