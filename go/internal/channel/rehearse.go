package channel

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Rehearsal is a session with one call that no host made.
type Rehearsal struct{ script []byte }

// NewRehearsal writes down the session of a host that calls the procedure, with an empty request, and goes when it has the answer,
// which must be below 64 KiB.
func NewRehearsal(procedure string) *Rehearsal {
	var headers, script bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, field := range [][2]string{
		{":method", http.MethodPost}, {":scheme", "http"}, {":authority", "agent"}, {":path", procedure},
		{"content-type", "application/proto"}, {"connect-protocol-version", "1"}, {"connect-timeout-ms", "10000"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	script.WriteString(http2.ClientPreface)
	framer := http2.NewFramer(&script, nil)
	_ = framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
	_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: rehearsedStream, BlockFragment: headers.Bytes(), EndHeaders: true})
	_ = framer.WriteData(rehearsedStream, true, nil)
	return &Rehearsal{script.Bytes()}
}

// Run serves that session, as Serve would, within the limit.
func (r *Rehearsal) Run(handler http.Handler, limit time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	conn := &scriptedConn{script: bytes.NewReader(r.script), over: make(chan struct{})}
	stop := context.AfterFunc(ctx, conn.end)
	defer stop()
	serveHTTP(ctx, conn, handler)
}

const (
	rehearsedStream = 1
	frameEndStream  = byte(http2.FlagDataEndStream)
)

// scriptedConn is the host of a rehearsal: it says what it has to say, and hangs up when the call is answered.
type scriptedConn struct {
	script *bytes.Reader
	over   chan struct{}
	ended  sync.Once
}

func (c *scriptedConn) end() { c.ended.Do(func() { close(c.over) }) }

func (c *scriptedConn) Read(p []byte) (int, error) {
	if n, err := c.script.Read(p); err == nil {
		return n, nil
	}
	<-c.over
	return 0, io.EOF
}

// Write looks for the end of the answer among whole frames, which is how small ones are written.
func (c *scriptedConn) Write(p []byte) (int, error) {
	for rest := p; len(rest) >= frameHeaderBytes; {
		length := int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2])
		if binary.BigEndian.Uint32(rest[5:]) == rehearsedStream && rest[4]&frameEndStream != 0 {
			c.end()
		}
		rest = rest[min(len(rest), frameHeaderBytes+length):]
	}
	return len(p), nil
}

func (c *scriptedConn) Close() error                   { c.end(); return nil }
func (*scriptedConn) SetDeadline(time.Time) error      { return nil }
func (*scriptedConn) SetReadDeadline(time.Time) error  { return nil }
func (*scriptedConn) SetWriteDeadline(time.Time) error { return nil }
func (*scriptedConn) LocalAddr() net.Addr              { return linkAddr{} }
func (*scriptedConn) RemoteAddr() net.Addr             { return linkAddr{} }
