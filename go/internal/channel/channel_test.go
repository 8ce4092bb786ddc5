package channel_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banger.dev/banger/internal/channel"
	"banger.dev/banger/internal/channeltest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"connectrpc.com/connect"
)

const (
	limit = 30 * time.Second
	nonce = "0123456789abcdef0123456789abcdef"
)

// port is a link that outlives its hosts, as a virtio-serial port does.
type port struct {
	hosts <-chan net.Conn
	conn  net.Conn
}

func (p *port) ReadNext(b []byte) (int, error) {
	for {
		if p.conn == nil {
			conn, more := <-p.hosts
			if !more {
				return 0, errors.New("the port is gone")
			}
			p.conn = conn
		}
		n, err := p.conn.Read(b)
		if n > 0 {
			return n, nil
		}
		if err != nil {
			p.conn.Close()
			p.conn = nil
		}
	}
}

func (p *port) Read(b []byte) (int, error)    { return p.conn.Read(b) }
func (p *port) Write(b []byte) (int, error)   { return p.conn.Write(b) }
func (p *port) SetDeadline(t time.Time) error { return p.conn.SetDeadline(t) }

// agent answers Hello, and lets a test see the life of a Health call.
type agent struct {
	agentv1connect.UnimplementedAgentServiceHandler
	entered, cancelled chan struct{}
}

func (agent) Hello(context.Context, *connect.Request[agentv1.HelloRequest]) (*connect.Response[agentv1.HelloResponse], error) {
	return connect.NewResponse(&agentv1.HelloResponse{VmId: "test"}), nil
}

func (a agent) Health(ctx context.Context, _ *connect.Request[agentv1.HealthRequest]) (*connect.Response[agentv1.HealthResponse], error) {
	a.entered <- struct{}{}
	<-ctx.Done()
	a.cancelled <- struct{}{}
	return nil, ctx.Err()
}

// echo returns the data of a Configure's environment.
func (agent) Configure(_ context.Context, request *connect.Request[agentv1.ConfigureRequest]) (*connect.Response[agentv1.ConfigureResponse], error) {
	return connect.NewResponse(&agentv1.ConfigureResponse{
		Steps: []*agentv1.ConfigureResponse_Step{{Name: request.Msg.Environment[0]}},
	}), nil
}

// serve starts an agent on a port and returns the way for hosts to connect.
func serve(t *testing.T) (connectHost func() net.Conn, service agent) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	hosts := make(chan net.Conn)
	service = agent{entered: make(chan struct{}, 1), cancelled: make(chan struct{}, 1)}
	mux := http.NewServeMux()
	mux.Handle(agentv1connect.NewAgentServiceHandler(service))
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = channel.Serve(context.Background(), &port{hosts: hosts}, mux)
	}()
	var conns []net.Conn
	t.Cleanup(func() {
		for _, conn := range conns {
			conn.Close()
		}
		listener.Close()
		close(hosts)
		await(t, served, "the end of Serve")
	})
	return func() net.Conn {
		conn, err := net.Dial("unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		// The agent takes this host as soon as it has noticed that the one before is gone.
		go func() { hosts <- accepted }()
		return conn
	}, service
}

func await(t *testing.T, event <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-event:
	case <-time.After(limit):
		t.Fatalf("waited %s for %s", limit, what)
	}
}

func connectHost(t *testing.T, conn net.Conn) *channeltest.Host {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	host, err := channeltest.Connect(ctx, conn)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return host
}

func hello(t *testing.T, host *channeltest.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	reply, err := host.Agent.Hello(ctx, connect.NewRequest(&agentv1.HelloRequest{}))
	if err != nil {
		t.Fatalf("hello: %v", err)
	}
	if reply.Msg.VmId != "test" {
		t.Fatalf("hello answered %v", reply.Msg)
	}
}

func write(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func expectLine(t *testing.T, reader *bufio.Reader, conn net.Conn, want string) {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	defer conn.SetReadDeadline(time.Time{})
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %q: %v", want, err)
		}
		if line == "\n" {
			continue
		}
		if line != want+"\n" {
			t.Fatalf("got %q, want %q", line, want)
		}
		return
	}
}

func TestEverySynIsAnsweredAndGarbageIsDropped(t *testing.T) {
	newHost, _ := serve(t)
	conn := newHost()
	reader := bufio.NewReader(conn)
	garbage := []string{
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		strings.Repeat("\x00\xffx", 5000),
		"\nBANGER/1 SYN " + strings.ToUpper(nonce) + " 1\n",
		"\nBANGER/1 SYN " + nonce + " \n",
		"\nBANGER/1 SYN " + nonce + " 12345678901\n",
		"\nBANGER/1 SYN " + nonce + " 1" + strings.Repeat(" ", 70000) + "\n",
		"xBANGER/1 SYN " + nonce + " 1\n",
	}
	for _, text := range garbage {
		write(t, conn, text)
	}
	write(t, conn, "\nBANGER/1 SYN "+nonce+" 7\n")
	expectLine(t, reader, conn, "BANGER/1 ACK "+nonce+" 7")
	// In two parts, and followed at once by another.
	write(t, conn, "\nBANGER/1 SY")
	write(t, conn, "N "+nonce+" 8\n\nBANGER/1 SYN "+nonce+" 9\n")
	expectLine(t, reader, conn, "BANGER/1 ACK "+nonce+" 8")
	expectLine(t, reader, conn, "BANGER/1 ACK "+nonce+" 9")
	hello(t, connectHost(t, conn))
}

func TestAnEndedHostCancelsItsCallsAndTheNextIsServed(t *testing.T) {
	newHost, service := serve(t)
	for range 3 {
		host := connectHost(t, newHost())
		hello(t, host)
		failed := make(chan struct{})
		go func() {
			defer close(failed)
			_, _ = host.Agent.Health(context.Background(), connect.NewRequest(&agentv1.HealthRequest{}))
		}()
		await(t, service.entered, "the call to begin")
		host.Close()
		await(t, service.cancelled, "the call's cancellation")
		await(t, failed, "the client's failure")
	}
}

// rawSession begins HTTP/2 by hand, so that a test can leave it at any byte.
func rawSession(t *testing.T, conn net.Conn) {
	t.Helper()
	reader := bufio.NewReader(conn)
	write(t, conn, "\nBANGER/1 SYN "+nonce+" 1\n")
	expectLine(t, reader, conn, "BANGER/1 ACK "+nonce+" 1")
	emptySettings := "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	write(t, conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+emptySettings)
	// The answer to the settings shows that the session is under way.
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	settingsAck := []byte("\x00\x00\x00\x04\x01\x00\x00\x00\x00")
	var seen []byte
	for !bytes.Contains(seen, settingsAck) {
		b, err := reader.ReadByte()
		if err != nil {
			t.Fatalf("waiting for the settings to be acknowledged: %v", err)
		}
		seen = append(seen, b)
	}
	_ = conn.SetReadDeadline(time.Time{})
}

func TestAHostThatReconnectedUnnoticedBetweenFrames(t *testing.T) {
	newHost, _ := serve(t)
	conn := newHost()
	rawSession(t, conn)
	reader := bufio.NewReader(conn)
	write(t, conn, "\nBANGER/1 SYN "+strings.Repeat("a", 32)+" 1\n")
	// Answered at once: this host does not repeat itself. What the old session still sent stands before the answer.
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for the acknowledgement: %v", err)
		}
		if line == fmt.Sprintf("BANGER/1 ACK %s 1\n", strings.Repeat("a", 32)) {
			break
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	hello(t, connectHost(t, conn))
}

func TestAHostThatReconnectedUnnoticedInsideAFrame(t *testing.T) {
	newHost, _ := serve(t)
	conn := newHost()
	rawSession(t, conn)
	// A data frame of 64 KiB of which 3 bytes come: the rest of it would swallow a thousand handshakes.
	write(t, conn, "\x01\x00\x00\x00\x00\x00\x00\x00\x01abc")
	hello(t, connectHost(t, conn))
}

// As the third and all later pauses of a host: it need not come to the longer ones, which a fork would wait for.
func TestAHostIsHeardInsideAFrameAfterAPauseOf130Milliseconds(t *testing.T) {
	newHost, _ := serve(t)
	conn := newHost()
	rawSession(t, conn)
	write(t, conn, "\x01\x00\x00\x00\x00\x00\x00\x00\x01abc")
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		reader := bufio.NewReader(conn)
		for {
			line, err := reader.ReadString('\n')
			if err != nil || strings.HasPrefix(line, "BANGER/1 ACK "+strings.Repeat("a", 32)) {
				return
			}
		}
	}()
	late := time.After(limit)
	for n := 1; ; n++ {
		select {
		case <-heard:
			return
		case <-late:
			t.Fatalf("not heard within %s", limit)
		case <-time.After(130 * time.Millisecond):
			write(t, conn, fmt.Sprintf("\nBANGER/1 SYN %s %d\n", strings.Repeat("a", 32), n))
		}
	}
}

func TestDataThatLooksLikeAHandshakeIsData(t *testing.T) {
	newHost, _ := serve(t)
	host := connectHost(t, newHost())
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	text := strings.Repeat("\nBANGER/1 SYN "+nonce+" 1\n", 4000)
	reply, err := host.Agent.Configure(ctx, connect.NewRequest(&agentv1.ConfigureRequest{Environment: []string{text}}))
	if err != nil {
		t.Fatal(err)
	}
	if got := reply.Msg.Steps[0].Name; got != text {
		t.Fatalf("%d bytes came back, want %d", len(got), len(text))
	}
}
