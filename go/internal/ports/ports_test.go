package ports

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/agenttest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
)

const patience = 20 * time.Second

type clientStream = connect.BidiStreamForClient[agentv1.DialRequest, agentv1.DialResponse]

func tcp(address string) *agentv1.DialTarget {
	return &agentv1.DialTarget{Target: &agentv1.DialTarget_Tcp{Tcp: address}}
}

func open(t *testing.T, services map[string]func(net.Conn), target *agentv1.DialTarget) *clientStream {
	t.Helper()
	path, handler := agentv1connect.NewPortServiceHandler(NewService(services), agenttest.HandlerOption)
	client := agentv1connect.NewPortServiceClient(agenttest.Serve(t, path, handler), agenttest.URL)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	stream := client.Dial(ctx)
	t.Cleanup(func() {
		cancel()
		_ = stream.CloseResponse()
	})
	_ = stream.Send(&agentv1.DialRequest{Message: &agentv1.DialRequest_Target{Target: target}})
	return stream
}

func expectConnected(t *testing.T, stream *clientStream) {
	t.Helper()
	if response, err := stream.Receive(); err != nil || !response.GetConnected() {
		t.Fatalf("first response %v, %v", response, err)
	}
}

// listen serves each connection with handle and closes it; it checks at the end that every handler has returned.
func listen(t *testing.T, network, address string, handle func(halfCloser)) net.Addr {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		handle(connection.(halfCloser))
	}()
	t.Cleanup(func() {
		listener.Close()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("the listener's handler did not end")
		}
	})
	return listener.Addr()
}

// greetThenEcho half-closes in both directions: it echoes only what came before the client's end.
func greetThenEcho(connection halfCloser) {
	data, _ := io.ReadAll(connection)
	_, _ = connection.Write(append([]byte("got all: "), data...))
	_ = connection.CloseWrite()
}

func TestHalfCloseBothWays(t *testing.T) {
	data := make([]byte, 2<<20+5)
	_, _ = rand.Read(data)
	socket := filepath.Join(t.TempDir(), "s")
	address := listen(t, "tcp", "127.0.0.1:0", greetThenEcho)
	bare := listen(t, "tcp", "127.0.0.1:0", greetThenEcho)
	ipv6 := listen(t, "tcp", "[::1]:0", greetThenEcho)
	listen(t, "unix", socket, greetThenEcho)
	services := map[string]func(net.Conn){"echo": func(connection net.Conn) {
		defer connection.Close()
		greetThenEcho(connection.(halfCloser))
	}}
	for name, target := range map[string]*agentv1.DialTarget{
		"host and port": tcp(address.String()),
		"port":          tcp(fmt.Sprint(bare.(*net.TCPAddr).Port)),
		"port on IPv6":  tcp(fmt.Sprint(ipv6.(*net.TCPAddr).Port)),
		"unix":          {Target: &agentv1.DialTarget_Unix{Unix: socket}},
		"service":       {Target: &agentv1.DialTarget_Service{Service: "echo"}},
	} {
		t.Run(name, func(t *testing.T) {
			stream := open(t, services, target)
			expectConnected(t, stream)
			go func() {
				for rest := data; len(rest) > 0; {
					count := min(len(rest), 60_000)
					_ = stream.Send(&agentv1.DialRequest{Message: &agentv1.DialRequest_Data{Data: rest[:count]}})
					rest = rest[count:]
				}
				_ = stream.Send(&agentv1.DialRequest{Message: &agentv1.DialRequest_Eof{Eof: true}})
			}()
			var got bytes.Buffer
			ended := false
			for {
				response, err := stream.Receive()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got.Write(response.GetData())
				ended = ended || response.GetEof()
			}
			if !ended || got.String() != "got all: "+string(data) {
				t.Errorf("%d bytes came back, eof %v", got.Len(), ended)
			}
		})
	}
}

func TestServerMayEndFirst(t *testing.T) {
	received := make(chan string, 1)
	address := listen(t, "tcp", "127.0.0.1:0", func(connection halfCloser) {
		_ = connection.CloseWrite()
		data, _ := io.ReadAll(connection)
		received <- string(data)
	})
	stream := open(t, nil, tcp(address.String()))
	expectConnected(t, stream)
	if response, err := stream.Receive(); err != nil || !response.GetEof() {
		t.Fatalf("response %v, %v; want eof", response, err)
	}
	_ = stream.Send(&agentv1.DialRequest{Message: &agentv1.DialRequest_Data{Data: []byte("late")}})
	_ = stream.CloseRequest()
	if _, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("end of stream: %v", err)
	}
	if got := <-received; got != "late" {
		t.Errorf("the server got %q", got)
	}
}

func TestClientGoneClosesTheConnection(t *testing.T) {
	ended := make(chan error, 1)
	address := listen(t, "tcp", "127.0.0.1:0", func(connection halfCloser) {
		_ = connection.SetReadDeadline(time.Now().Add(patience))
		_, err := io.Copy(io.Discard, connection)
		ended <- err
	})
	stream := open(t, nil, tcp(address.String()))
	expectConnected(t, stream)
	_ = stream.CloseResponse()
	if err := <-ended; errors.Is(err, context.DeadlineExceeded) || (err != nil && strings.Contains(err.Error(), "timeout")) {
		t.Errorf("the connection stayed open: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := listener.Addr().String()
	listener.Close()
	for name, test := range map[string]struct {
		target *agentv1.DialTarget
		code   connect.Code
		text   string
	}{
		"refused":         {tcp(closed), connect.CodeUnavailable, "connection refused"},
		"not a port":      {tcp("70000"), connect.CodeInvalidArgument, "70000"},
		"no port":         {tcp("localhost"), connect.CodeInvalidArgument, "localhost"},
		"missing socket":  {&agentv1.DialTarget{Target: &agentv1.DialTarget_Unix{Unix: "/no/such"}}, connect.CodeUnavailable, "/no/such"},
		"relative socket": {&agentv1.DialTarget{Target: &agentv1.DialTarget_Unix{Unix: "s"}}, connect.CodeInvalidArgument, "absolute"},
		"unknown service": {&agentv1.DialTarget{Target: &agentv1.DialTarget_Service{Service: "x"}}, connect.CodeNotFound, `"x"`},
		"nothing":         {&agentv1.DialTarget{}, connect.CodeInvalidArgument, "target"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := open(t, nil, test.target).Receive()
			if connect.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v; want %v with %q", err, test.code, test.text)
			}
		})
	}
}
