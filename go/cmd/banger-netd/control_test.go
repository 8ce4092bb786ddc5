package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/netdtest"
	"connectrpc.com/connect"
	"golang.org/x/sys/unix"
)

func TestCheck(t *testing.T) {
	w := newWorlds(t, `{"mode":"MODE_LOCKED","hostPorts":[5432],"rules":[{"action":"ACTION_ALLOW","target":"*.example","firstPort":443},{"action":"ACTION_DENY","target":"93.184.216.35"}]}`)
	check := func(r *netdv1.CheckRequest) *netdv1.CheckResponse {
		t.Helper()
		response, err := w.netd.client.Check(netdtest.Context(t), connect.NewRequest(r))
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
		return response.Msg
	}
	for _, c := range []struct {
		host               string
		port               uint32
		protocol           netdv1.Protocol
		allowed            bool
		rule, reason, hint string
	}{
		{"good.example", 443, 0, true, "allow *.example:443", "", ""},
		{"Good.Example.", 443, 0, true, "allow *.example:443", "", ""},
		{"good.example", 80, 0, false, "mode locked", "no-rule", "--allow good.example:80"},
		{"good.example", 443, netdv1.Protocol_PROTOCOL_UDP, true, "allow *.example:443", "", ""},
		{"93.184.216.35", 443, 0, false, "deny 93.184.216.35", "deny-rule", ""},
		{"host.vm", 5432, 0, true, "allow-host 5432", "", ""},
		{"198.18.0.3", 5432, 0, true, "allow-host 5432", "", ""},
		{"host.vm", 22, 0, false, "mode locked", "host-port", "--allow-host 22"},
		{"127.0.0.1", 22, 0, false, "mode locked", "loopback", "--allow-host 22"},
		{"192.0.2.2", 22, 0, false, "mode locked", "own", "--allow 192.0.2.2:22"},
		{"169.254.169.254", 80, 0, false, "mode locked", "metadata", "--allow 169.254.169.254:80"},
		{"93.184.216.34", 0, netdv1.Protocol_PROTOCOL_ICMP, false, "mode locked", "no-rule", "--allow 93.184.216.34/icmp"},
	} {
		v := check(&netdv1.CheckRequest{Host: c.host, Port: c.port, Protocol: c.protocol}).Verdict
		if v.Allowed != c.allowed || v.Rule != c.rule || v.Reason != c.reason || v.Suggestion != c.hint {
			t.Errorf("%s:%d: %v", c.host, c.port, v)
		}
	}
	found := check(&netdv1.CheckRequest{Host: "rebind.example", Port: 443, Resolve: true})
	reasons := map[string]string{}
	for _, a := range found.Addresses {
		reasons[a.Address] = a.Verdict.Reason
	}
	if !found.Verdict.Allowed || reasons["10.0.0.1"] != "private" || reasons["169.254.169.254"] != "metadata" || reasons["192.0.2.2"] != "own" {
		t.Errorf("%v", found)
	}
	if r := check(&netdv1.CheckRequest{Host: "nowhere.example", Port: 443, Resolve: true}); r.ResolveFailure == "" {
		t.Errorf("%v", r)
	}
	if r := check(&netdv1.CheckRequest{Host: "good.example", Port: 80, Policy: parsed(t, `{"mode":"MODE_BALANCED"}`)}); !r.Verdict.Allowed {
		t.Errorf("by another policy: %v", r)
	}
	for _, bad := range []*netdv1.CheckRequest{{Host: "", Port: 1}, {Host: "a b", Port: 1}, {Host: "a.example"}, {Host: "a.example", Port: 70000}, {Host: "a.example", Port: 1, Protocol: 9}} {
		if _, err := w.netd.client.Check(netdtest.Context(t), connect.NewRequest(bad)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestLogTellsOfEverything(t *testing.T) {
	w := newWorlds(t, `{"mode":"MODE_BALANCED","rules":[{"action":"ACTION_DENY","target":"other.example"}]}`)
	w.resolve(t, "good.example")
	w.resolve(t, "other.example")
	past, err := w.netd.client.WatchLog(netdtest.Context(t), connect.NewRequest(&netdv1.WatchLogRequest{Follow: true}))
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	var records []*netdv1.Record
	caughtUp := false
	// next waits for a record that is like the one wanted.
	next := func(what string, want func(*netdv1.Record) bool) *netdv1.Record {
		t.Helper()
		for {
			if i := slices.IndexFunc(records, want); i >= 0 {
				return records[i]
			}
			if !past.Receive() {
				t.Fatalf("the log ended without %s: %v", what, past.Err())
			}
			records = append(records, past.Msg().Records...)
			caughtUp = caughtUp || past.Msg().CaughtUp
		}
	}
	next("a name that was resolved", func(r *netdv1.Record) bool {
		return r.Event == netdv1.Record_EVENT_RESOLVED && r.Name == "good.example" && r.Question == "A" && slices.Contains(r.Answers, "93.184.216.34")
	})
	next("a name that was denied", func(r *netdv1.Record) bool {
		return r.Event == netdv1.Record_EVENT_DENIED && r.Name == "other.example" && r.Verdict.Rule == "deny other.example" && r.Protocol == netdv1.Protocol_PROTOCOL_DNS
	})
	if got := w.tcp("93.184.216.34:22"); got != yes {
		t.Fatal(got)
	}
	opened := next("an opened connection", func(r *netdv1.Record) bool { return r.Event == netdv1.Record_EVENT_OPENED })
	closed := next("a closed connection", func(r *netdv1.Record) bool { return r.Event == netdv1.Record_EVENT_CLOSED && r.Flow == opened.Flow })
	if !caughtUp || closed.Name != "good.example" || closed.NameSource != "dns" || closed.Address != "93.184.216.34" || closed.Port != 22 || closed.BytesDown != 9 {
		t.Errorf("%v", closed)
	}
	if got := w.tcp("10.0.0.1:22"); got != no {
		t.Fatal(got)
	}
	next("a denied connection", func(r *netdv1.Record) bool {
		return r.Event == netdv1.Record_EVENT_DENIED && r.Address == "10.0.0.1" && r.Verdict.Reason == "private" && r.Verdict.Suggestion == "--allow 10.0.0.1:22"
	})
	for range 50 {
		w.tcp("10.0.0.1:22")
	}
	next("many denials in one", func(r *netdv1.Record) bool { return r.Address == "10.0.0.1" && r.Repeated > 1 })
	if got := w.tcp("93.184.216.34:9999"); got != no {
		t.Fatal(got)
	}
	next("a server that refuses", func(r *netdv1.Record) bool {
		return r.Event == netdv1.Record_EVENT_FAILED && r.Port == 9999 && r.Verdict.Reason == "refused" && r.Verdict.Allowed
	})
	for i := 1; i < len(records); i++ {
		if records[i].Sequence != records[i-1].Sequence+1 {
			t.Errorf("record %d follows %d", records[i].Sequence, records[i-1].Sequence)
		}
	}
}

// ping an address from the guest with a socket as ping(8) has it; what comes back, or the error.
func (w *worlds) ping(t testing.TB, target string) error {
	t.Helper()
	var conn net.Conn
	err := w.guest.Do(func() error {
		address := net.ParseIP(target)
		family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
		var to unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte(address[12:])}
		if address.To4() == nil {
			family, protocol, to = unix.AF_INET6, unix.IPPROTO_ICMPV6, &unix.SockaddrInet6{Addr: [16]byte(address)}
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, protocol)
		if err != nil {
			return err
		}
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVERR, 1)
		file := os.NewFile(uintptr(fd), "ping")
		defer file.Close()
		if err := unix.Connect(fd, to); err != nil {
			return err
		}
		conn, err = net.FileConn(file)
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	request := []byte{8, 0, 0, 0, 0, 0, 0, 7, 'h', 'e', 'y'}
	if net.ParseIP(target).To4() == nil {
		request[0] = 128
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	reply := make([]byte, 100)
	n, err := conn.Read(reply)
	if err != nil {
		return err
	}
	if n != len(request) || binary.BigEndian.Uint16(reply[6:]) != 7 || string(reply[8:n]) != "hey" {
		return io.ErrUnexpectedEOF
	}
	return nil
}

func TestPing(t *testing.T) {
	w := newWorlds(t, `{"mode":"MODE_BALANCED"}`)
	w.guest.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0) })
	for _, target := range []string{"93.184.216.34", "2606:2800:220:1::1", "198.18.0.1", "fd62:616e:6765:72::1"} {
		if err := w.ping(t, target); err != nil {
			t.Errorf("ping %s: %v", target, err)
		}
	}
	for _, target := range []string{"10.0.0.1", "192.0.2.2", "169.254.169.254"} {
		if err := w.ping(t, target); !errors.Is(err, unix.EHOSTUNREACH) {
			t.Errorf("ping %s: %v", target, err)
		}
	}
	// A host that does not let its user ping says so.
	w.host.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("1 0"), 0) })
	if err := w.ping(t, "93.184.216.35"); !errors.Is(err, unix.EHOSTUNREACH) {
		t.Errorf("ping without the host's leave: %v", err)
	}
}
