package main

import (
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
	go accept(source, func(conn net.Conn) { io.CopyN(conn, zeros{}, gibibyte) })
	sink := listenTCP(b, w.internet, "[::]:8002")
	go accept(sink, func(conn net.Conn) {
		io.Copy(io.Discard, conn)
	})
	for _, side := range []struct {
		name string
		in   *netdtest.Namespace
	}{{"guest", w.guest}, {"host", w.host}} {
		b.Run("down/"+side.name, func(b *testing.B) {
			b.SetBytes(gibibyte)
			for b.Loop() {
				conn := w.dial(b, side.in, "93.184.216.34:8001")
				if n, err := io.Copy(io.Discard, conn); n != gibibyte {
					b.Fatal(n, err)
				}
			}
		})
		b.Run("up/"+side.name, func(b *testing.B) {
			b.SetBytes(gibibyte)
			for b.Loop() {
				conn := w.dial(b, side.in, "93.184.216.34:8002")
				if n, err := io.CopyN(conn, zeros{}, gibibyte); err != nil {
					b.Fatal(n, err)
				}
				conn.(*net.TCPConn).CloseWrite()
				io.Copy(io.Discard, conn)
				conn.Close()
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
