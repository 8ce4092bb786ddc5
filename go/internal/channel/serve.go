// Package channel turns the byte stream between host and guest into HTTP/2 sessions: it finds and opens the stream,
// runs the handshake of docs/agent-wire.md, serves one session at a time and waits for the next host.
package channel

import (
	"context"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http2"
)

// Link is a byte stream to hosts that come and go, one at a time.
type Link interface {
	// ReadNext waits for at least one byte, through hang-ups where the link outlives its hosts.
	ReadNext(p []byte) (int, error)
	// Read waits for at least one byte; when the host is gone it returns io.EOF.
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	// SetDeadline bounds Read, ReadNext and Write. The zero time means no bound.
	SetDeadline(t time.Time) error
}

// Serve runs sessions on the link until the link itself fails or ctx is done. A session's context ends with it.
func Serve(ctx context.Context, link Link, handler http.Handler) error {
	stop := context.AfterFunc(ctx, func() { _ = link.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	in := newInput(link)
	for {
		if err := synchronise(in, link); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		serveSession(ctx, in, link, handler)
		if err := link.SetDeadline(time.Time{}); err != nil {
			return err
		}
		// The deadline that ctx set may just have been taken away.
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Windows are wide because one stream of bytes carries everything: a call whose data nobody reads must not stop others.
const (
	streamWindowBytes     = 1 << 20
	connectionWindowBytes = 64 << 20
	maxFrameBytes         = 256 << 10
	maxStreams            = 512
)

func serveSession(ctx context.Context, in *input, link Link, handler http.Handler) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn := &sessionConn{in: in, link: link}
	defer conn.Close()
	serveHTTP(context.WithValue(ctx, sessionKey{}, conn), conn, handler)
}

func serveHTTP(ctx context.Context, conn net.Conn, handler http.Handler) {
	server := &http2.Server{
		MaxConcurrentStreams:         maxStreams,
		MaxReadFrameSize:             maxFrameBytes,
		MaxUploadBufferPerStream:     streamWindowBytes,
		MaxUploadBufferPerConnection: connectionWindowBytes,
	}
	server.ServeConn(conn, &http2.ServeConnOpts{Context: ctx, Handler: handler, BaseConfig: quietServer})
}
