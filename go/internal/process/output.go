package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkBytes = 64 << 10

	// A background process may hold the output open after the main process ended. What lies in the pipe then is always
	// delivered; after that the output ends with idleGrace of silence, or lateOutput after the exit, whichever is first.
	// This keeps `bash -c 'make > >(tee log)'` complete and lets `sh -c 'server &'` return, as terminals over the
	// network do it, and unlike OpenSSH, which waits for the server.
	idleGrace  = 100 * time.Millisecond
	lateOutput = time.Second
)

var chunks = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// Output delivers what the process writes until it has ended and its output is complete, and says how it ended. The two
// functions may be called at the same time; each blocks the process while it runs, and owns data only until it returns.
// When one fails, its pipe is closed, and the process learns of it by its next write.
func (r *Running) Output(stdout, stderr func(data []byte) error) Exit {
	var pumps []*pump
	var pumping sync.WaitGroup
	start := func(source *os.File, sink func([]byte) error) {
		if source == nil {
			return
		}
		next := &pump{source: source, sink: sink}
		pumps = append(pumps, next)
		pumping.Go(next.run)
	}
	start(r.stdout, stdout)
	start(r.stderr, stderr)
	status := r.child.Wait()
	for _, running := range pumps {
		running.processEnded()
	}
	pumping.Wait()
	r.leaveToBackground(pumps)
	return exitOf(status)
}

// leaveToBackground reads on to nowhere for as long as a background process writes, so that SIGPIPE does not end it.
// A terminal is not kept: it is hung up, as leaving one does.
func (r *Running) leaveToBackground(pumps []*pump) {
	for _, ended := range pumps {
		if !ended.held || r.terminal != nil {
			continue
		}
		source := ended.source
		if source == r.stdout {
			r.stdout = nil
		} else {
			r.stderr = nil
		}
		_ = source.SetReadDeadline(time.Time{})
		go func() {
			defer source.Close()
			_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{source}, make([]byte, 4096))
		}()
	}
}

type pump struct {
	source *os.File
	sink   func([]byte) error
	// endedAt is nil while the process runs.
	endedAt atomic.Pointer[time.Time]
	// owedBytes lay in the pipe when the process ended.
	owedBytes atomic.Int64
	// held says, after run, that somebody else has the pipe open still.
	held bool
}

func (p *pump) processEnded() {
	now := time.Now()
	p.owedBytes.Store(int64(buffered(p.source)))
	p.endedAt.Store(&now)
	_ = p.source.SetReadDeadline(now.Add(idleGrace))
}

func (p *pump) run() {
	chunk := chunks.Get().(*[chunkBytes]byte)
	defer chunks.Put(chunk)
	for {
		endedAt := p.endedAt.Load()
		if endedAt != nil {
			if p.owedBytes.Load() <= 0 && time.Since(*endedAt) > lateOutput {
				p.held = true
				return
			}
			_ = p.source.SetReadDeadline(time.Now().Add(idleGrace))
		}
		count, err := p.source.Read(chunk[:])
		if count > 0 {
			if endedAt != nil {
				p.owedBytes.Add(int64(-count))
			}
			if p.sink(chunk[:count]) != nil {
				p.source.Close()
				return
			}
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if buffered(p.source) > 0 {
				continue
			}
			p.held = true
			return
		}
		if err != nil { // EOF, or EIO: the way a terminal says that nobody has it open.
			return
		}
	}
}
