package main

import (
	"io"
	"net"
	"testing"
	"time"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/netdtest"
	"connectrpc.com/connect"
)

// A guest that opens many connections, has much sent on each, and reads from none, makes the host hold a bounded amount.
func TestHoardingIsBounded(t *testing.T) {
	w := newWorlds(t, `{"mode":"MODE_BALANCED"}`)
	listener := listenTCP(t, w.internet, "[::]:8004")
	go accept(listener, func(conn net.Conn) { io.CopyN(conn, zeros{}, gibibyte) })
	var conns []net.Conn
	for range 300 {
		conns = append(conns, w.dial(t, w.guest, "93.184.216.34:8004"))
	}
	status := func() *netdv1.StatusResponse {
		response, err := w.netd.client.Status(netdtest.Context(t), connect.NewRequest(&netdv1.StatusRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return response.Msg
	}
	// Until nothing moves any more, but for window probes.
	for before := uint64(0); ; {
		s := status()
		if s.Counters.BytesToGuest-before < 1<<20 {
			t.Logf("%d MiB resident, heap %d MiB, %d connections", s.Memory.ResidentBytes>>20, s.Memory.HeapBytes>>20, s.Counters.TcpOpen)
			if s.Memory.ResidentBytes > 256<<20 || s.Counters.TcpOpen != 300 {
				t.Errorf("%d MiB are held for %d connections", s.Memory.ResidentBytes>>20, s.Counters.TcpOpen)
			}
			break
		}
		before = s.Counters.BytesToGuest
		time.Sleep(300 * time.Millisecond)
	}
	for _, conn := range conns {
		conn.Close()
	}
	deadline := time.Now().Add(30 * time.Second)
	for status().Counters.TcpOpen > 0 {
		if time.Now().After(deadline) {
			t.Fatal("connections are not closed")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
