// Package ports connects the host to listeners inside the guest, and to services of the agent, without a guest network.
package ports

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"connectrpc.com/connect"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
)

const chunkBytes = 32 << 10

type dialStream = connect.BidiStream[agentv1.DialRequest, agentv1.DialResponse]

type service struct {
	services map[string]func(net.Conn)
}

// NewService returns the handler of PortService. Each named service gets one end of a stream that can be half-closed; it
// must close it, and return when it reads the end or an error.
func NewService(services map[string]func(net.Conn)) agentv1connect.PortServiceHandler {
	return &service{services: services}
}

// Dial implements PortService. It ends when both directions have ended, or at once when the stream or the connection breaks.
func (s *service) Dial(ctx context.Context, stream *dialStream) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	connection, err := s.connect(ctx, first.GetTarget())
	if err != nil {
		return err
	}
	defer connection.Close()
	// Wakes the copying when the client goes away.
	defer context.AfterFunc(ctx, func() { connection.Close() })()
	if err := stream.Send(&agentv1.DialResponse{Message: &agentv1.DialResponse_Connected{Connected: true}}); err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- toConnection(stream, connection) }()
	if err := toClient(stream, connection); err != nil {
		return err
	}
	select {
	case err := <-sent:
		return err
	case <-ctx.Done():
		return connect.NewError(connect.CodeCanceled, ctx.Err())
	}
}

// toConnection copies from the client; the end of its stream counts as its eof.
func toConnection(stream *dialStream, connection halfCloser) error {
	for {
		request, err := stream.Receive()
		if errors.Is(err, io.EOF) || (err == nil && request.GetEof()) {
			// A peer that has gone already needs no end.
			_ = connection.CloseWrite()
			return nil
		}
		if err != nil {
			connection.Close()
			return err
		}
		if _, err := connection.Write(request.GetData()); err != nil {
			// What the peer wrote before it went away is still delivered; then its read fails or ends.
			return broken(err)
		}
	}
}

func toClient(stream *dialStream, connection net.Conn) error {
	chunk := make([]byte, chunkBytes)
	for {
		count, err := connection.Read(chunk)
		if count > 0 {
			if err := stream.Send(&agentv1.DialResponse{Message: &agentv1.DialResponse_Data{Data: chunk[:count]}}); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return stream.Send(&agentv1.DialResponse{Message: &agentv1.DialResponse_Eof{Eof: true}})
		}
		if err != nil {
			return broken(err)
		}
	}
}

func broken(err error) error {
	return connect.NewError(connect.CodeAborted, fmt.Errorf("the connection broke: %w", err))
}
