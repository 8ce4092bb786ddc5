// Package channeltest is the host's side of the control channel in Go, for tests of the agent.
package channeltest

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"golang.org/x/net/http2"
)

const (
	repeatEvery     = time.Second
	maxDroppedBytes = 1 << 20
)

// Host is one session with an agent. Closing it is what a daemon's death looks like to the agent.
type Host struct {
	Agent   agentv1connect.AgentServiceClient
	Process agentv1connect.ProcessServiceClient
	File    agentv1connect.FileServiceClient
	Port    agentv1connect.PortServiceClient
	conn    net.Conn
}

// Connect runs the handshake on a connection, which it then owns, and offers the agent's services.
func Connect(ctx context.Context, conn net.Conn) (*Host, error) {
	reader, err := Handshake(ctx, conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	var used atomic.Bool
	client := &http.Client{Transport: &http2.Transport{
		AllowHTTP:                  true,
		MaxReadFrameSize:           256 << 10,
		StrictMaxConcurrentStreams: true,
		DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
			if used.Swap(true) {
				return nil, errors.New("the session is over")
			}
			return bufferedConn{conn, reader}, nil
		},
	}}
	const base = "http://agent"
	return &Host{
		Agent:   agentv1connect.NewAgentServiceClient(client, base),
		Process: agentv1connect.NewProcessServiceClient(client, base),
		File:    agentv1connect.NewFileServiceClient(client, base),
		Port:    agentv1connect.NewPortServiceClient(client, base),
		conn:    conn,
	}, nil
}

// Close cuts the connection.
func (h *Host) Close() error { return h.conn.Close() }

type bufferedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// Handshake says SYN until the agent has acknowledged the last one; the reader holds what comes behind that answer.
func Handshake(ctx context.Context, conn net.Conn) (*bufio.Reader, error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var last atomic.Int64
	syn := func() error {
		_, err := fmt.Fprintf(conn, "\nBANGER/1 SYN %s %d\n", hex.EncodeToString(nonce), last.Add(1))
		return err
	}
	if err := syn(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	repeated := make(chan struct{})
	go func() {
		defer close(repeated)
		ticker := time.NewTicker(repeatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_ = syn()
			case <-done:
				return
			}
		}
	}()
	reader, err := awaitAck(conn, hex.EncodeToString(nonce), &last)
	close(done)
	<-repeated
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return reader, nil
}

func awaitAck(conn net.Conn, nonce string, last *atomic.Int64) (*bufio.Reader, error) {
	reader := bufio.NewReaderSize(conn, 64<<10)
	for dropped := 0; dropped < maxDroppedBytes; {
		line, err := reader.ReadString('\n')
		if err != nil {
			return nil, err
		}
		dropped += len(line)
		if strings.TrimSuffix(line, "\n") == fmt.Sprintf("BANGER/1 ACK %s %d", nonce, last.Load()) {
			return reader, nil
		}
	}
	return nil, errors.New("the agent sends garbage")
}
