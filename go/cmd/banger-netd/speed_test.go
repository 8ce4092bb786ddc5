package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/netdtest"
	"connectrpc.com/connect"
)

const gibibyte = 1 << 30

// Throughput of one connection, and what the same bytes cost between the same namespaces without banger-netd.
func BenchmarkThroughput(b *testing.B) {
	w := newWorlds(b, `{"mode":"MODE_BALANCED"}`)
	source := listenTCP(b, w.internet, "[::]:8001")
	go accept(source, func(conn net.Conn) { io.CopyN(conn, &pattern{}, gibibyte) })
	sink := listenTCP(b, w.internet, "[::]:8002")
	go accept(sink, swallow)
	for _, side := range []struct {
		name string
		in   *netdtest.Namespace
	}{{"guest", w.guest}, {"host", w.host}} {
		b.Run("down/"+side.name, func(b *testing.B) {
			b.SetBytes(gibibyte)
			for b.Loop() {
				conn := w.dial(b, side.in, "93.184.216.34:8001")
				if n, err := io.Copy(&pattern{}, conn); n != gibibyte {
					b.Fatal(n, err)
				}
			}
		})
		b.Run("up/"+side.name, func(b *testing.B) {
			b.SetBytes(gibibyte)
			for b.Loop() {
				conn := w.dial(b, side.in, "93.184.216.34:8002")
				if err := send(conn, gibibyte); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	reportMemory(b, w)
}

func BenchmarkConnections(b *testing.B) {
	w := newWorlds(b, `{"mode":"MODE_BALANCED"}`)
	listener := listenTCP(b, w.internet, "[::]:8003")
	go accept(listener, func(conn net.Conn) {})
	for _, side := range []struct {
		name string
		in   *netdtest.Namespace
	}{{"guest", w.guest}, {"host", w.host}} {
		b.Run(side.name, func(b *testing.B) {
			for b.Loop() {
				conn := w.dial(b, side.in, "93.184.216.34:8003")
				io.Copy(io.Discard, conn)
				conn.Close()
			}
		})
	}
	reportMemory(b, w)
}

// BenchmarkStart is from exec to ready.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		begin(b, nil, `{"mode":"MODE_BALANCED"}`).command.Process.Kill()
	}
}

// block is what all bytes of tests are made of.
var block = func() []byte {
	b := make([]byte, 1<<20)
	rand.Read(b)
	return b
}()

// pattern is an endless stream of known bytes: to be read, or to be written to, which fails where it is not that.
type pattern struct{ at int }

func (p *pattern) Read(b []byte) (int, error) {
	n := copy(b, block[p.at:])
	p.at = (p.at + n) % len(block)
	return n, nil
}

func (p *pattern) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n := min(len(b)-done, len(block)-p.at)
		if !bytes.Equal(b[done:done+n], block[p.at:p.at+n]) {
			return done, errors.New("other bytes came than were sent")
		}
		done += n
		p.at = (p.at + n) % len(block)
	}
	return len(b), nil
}

// swallow reads the pattern to its end and says how much it was.
func swallow(conn net.Conn) {
	n, err := io.Copy(&pattern{}, conn)
	if err == nil {
		binary.Write(conn, binary.BigEndian, n)
	}
}

// send so much of the pattern to swallow.
func send(conn net.Conn, size int64) error {
	defer conn.Close()
	if _, err := io.CopyN(conn, &pattern{}, size); err != nil {
		return err
	}
	conn.(*net.TCPConn).CloseWrite()
	var got int64
	if err := binary.Read(conn, binary.BigEndian, &got); err != nil || got != size {
		return fmt.Errorf("%d of %d bytes arrived: %w", got, size, err)
	}
	return nil
}

// Both ways at once, byte for byte, over IPv4 and IPv6.
func TestBytesAreExact(t *testing.T) {
	const size = 64 << 20
	w := newWorlds(t, `{"mode":"MODE_BALANCED"}`)
	go accept(listenTCP(t, w.internet, "[::]:8001"), func(conn net.Conn) { io.CopyN(conn, &pattern{}, size) })
	go accept(listenTCP(t, w.internet, "[::]:8002"), swallow)
	for _, address := range []string{"93.184.216.34", "[2606:2800:220:1::1]"} {
		down, up := w.dial(t, w.guest, address+":8001"), w.dial(t, w.guest, address+":8002")
		sent := make(chan error, 1)
		go func() { sent <- send(up, size) }()
		if n, err := io.Copy(&pattern{}, down); n != size || err != nil {
			t.Errorf("%s: %d bytes came, %v", address, n, err)
		}
		down.Close()
		if err := <-sent; err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func accept(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			handle(conn)
			conn.Close()
		}()
	}
}

func (w *worlds) dial(t testing.TB, in *netdtest.Namespace, target string) net.Conn {
	t.Helper()
	var conn net.Conn
	err := in.Do(func() (err error) {
		conn, err = net.Dial("tcp", target)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func reportMemory(b *testing.B, w *worlds) {
	status, err := w.netd.client.Status(netdtest.Context(b), connect.NewRequest(&netdv1.StatusRequest{}))
	if err != nil {
		b.Fatal(err)
	}
	m := status.Msg.Memory
	b.Logf("resident %d KiB, heap %d KiB, %d goroutines, %d descriptors", m.ResidentBytes>>10, m.HeapBytes>>10, m.Goroutines, m.Descriptors)
}

// BenchmarkDenied is from a connection attempt to its refusal.
func BenchmarkDenied(b *testing.B) {
	w := newWorlds(b, `{"mode":"MODE_BALANCED"}`)
	for b.Loop() {
		err := w.guest.Do(func() error {
			conn, err := net.Dial("tcp", "10.0.0.1:80")
			if err == nil {
				conn.Close()
			}
			return err
		})
		if err == nil {
			b.Fatal("a private address was reached")
		}
	}
}
