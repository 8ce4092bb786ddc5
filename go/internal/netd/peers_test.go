package netd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/netdtest"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"golang.org/x/net/dns/dnsmessage"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
)

// members of a network: VMs with an echo server each, TCP and UDP, on port 7.
type member struct {
	name    string
	peer    *netdv1.Peer
	network *netd.Network
	guest   *netdtest.Guest
}

func members(t *testing.T, w *netdtest.World, policies ...string) []*member {
	t.Helper()
	dir := t.TempDir()
	var all []*member
	for i, words := range policies {
		m := &member{name: string(rune('a' + i))}
		m.peer = &netdv1.Peer{Name: m.name, Ipv4: fmt.Sprintf("198.19.0.%d", 10+i), Socket: filepath.Join(dir, m.name)}
		m.network, m.guest = w.Start(words)
		m.serve(t, plan.Guest4, ipv4.ProtocolNumber)
		m.serve(t, plan.Guest6, ipv6.ProtocolNumber)
		all = append(all, m)
	}
	return all
}

func (m *member) serve(t *testing.T, address netip.Addr, family tcpip.NetworkProtocolNumber) {
	t.Helper()
	here := tcpip.FullAddress{Addr: tcpip.AddrFromSlice(address.AsSlice()), Port: 7}
	listener, err := gonet.ListenTCP(m.guest.Stack, here, family)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				io.WriteString(conn, m.name+" "+conn.RemoteAddr().String()+"\n")
				io.Copy(conn, conn)
				conn.Close()
			}()
		}
	}()
	socket, err := gonet.DialUDP(m.guest.Stack, &here, nil, family)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			socket.WriteTo(append([]byte(m.name), buffer[:n]...), from)
		}
	}()
}

func join(t *testing.T, all ...*member) {
	t.Helper()
	for _, m := range all {
		words := &netdv1.Peers{Network: "lab", Self: m.peer}
		for _, other := range all {
			if other != m {
				words.Others = append(words.Others, other.peer)
			}
		}
		if _, err := m.network.SetPeers(words); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVMsOfANetworkReachEachOther(t *testing.T) {
	w := netdtest.NewWorld(t)
	all := members(t, w, `{"mode":"MODE_LOCKED"}`, `{"mode":"MODE_OPEN"}`, `{"mode":"MODE_BALANCED","rules":[{"action":"ACTION_DENY","target":"a.vm"}]}`,
		`{"mode":"MODE_OPEN","rules":[{"action":"ACTION_DENY","target":"198.19.0.10"}]}`)
	a, b, c, d := all[0], all[1], all[2], all[3]
	if code, _ := a.guest.Ask(t, "b.vm", dnsmessage.TypeA); code != dnsmessage.RCodeNameError {
		t.Error("a name is known before there is a network")
	}
	join(t, a, b, c, d)
	if _, found := a.guest.Ask(t, "b.vm", dnsmessage.TypeA); len(found) != 1 || found[0].String() != "198.19.0.11" {
		t.Fatalf("b.vm is %v", found)
	}
	if _, found := a.guest.Ask(t, "A.vm", dnsmessage.TypeA); len(found) != 1 || found[0].String() != "198.18.0.2" {
		t.Errorf("its own name is %v", found)
	}
	if _, found := a.guest.Ask(t, "b.vm", dnsmessage.TypeAAAA); len(found) != 1 || found[0].String() != "fd62:616e:6765:73::c613:b" {
		t.Fatalf("b.vm is %v", found)
	}
	if _, found := a.guest.Ask(t, "a.vm", dnsmessage.TypeAAAA); len(found) != 1 || found[0] != plan.Guest6 {
		t.Errorf("its own name is %v", found)
	}
	for target, from := range map[string]string{"198.19.0.11:7": "198.19.0.10:", "[fd62:616e:6765:73::c613:b]:7": "[fd62:616e:6765:73::c613:a]:"} {
		conn, err := a.guest.TCP(netdtest.Context(t), at(target))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		payload := strings.Repeat("0123456789", 100_000)
		go func() {
			io.WriteString(conn, payload)
			conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		first, rest, _ := strings.Cut(string(got), "\n")
		if err != nil || !strings.HasPrefix(first, "b "+from) || rest != payload {
			t.Errorf("%q, %d bytes, %v", first, len(rest), err)
		}
		for _, size := range []int{0, 1, 20000} {
			if got, err := exchange(t, a.guest, target, make([]byte, size)); err != nil || len(got) != size+1 || got[0] != 'b' {
				t.Errorf("UDP to %s with %d bytes: %d, %v", target, size, len(got), err)
			}
		}
	}
	refused := func(m *member, target string) {
		t.Helper()
		if conn, err := m.guest.TCP(netdtest.Context(t), at(target)); err == nil {
			conn.Close()
			t.Errorf("%s reaches %s", m.name, target)
		} else if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s to %s: %v", m.name, target, err)
		}
	}
	refused(a, "198.19.0.11:8")
	refused(a, "198.19.0.77:7")
	refused(a, "[fd62:616e:6765:73::c613:b]:8")
	refused(a, "[fd62:616e:6765:73::c613:4d]:7")
	refused(a, "[fd62:616e:6765:73::1]:7")
	// A deny rule holds in both directions, and for both addresses.
	refused(c, "198.19.0.10:7")
	refused(a, "198.19.0.12:7")
	refused(c, "[fd62:616e:6765:73::c613:a]:7")
	refused(a, "[fd62:616e:6765:73::c613:c]:7")
	refused(d, "[fd62:616e:6765:73::c613:a]:7")
	refused(a, "[fd62:616e:6765:73::c613:d]:7")

	for what, want := range map[string]func(journal.Record) bool{
		"to b": func(r journal.Record) bool {
			return r.Event == journal.Closed && r.Name == "b.vm" && r.Verdict.Rule == "network lab" && !r.Inbound
		},
		"from a": func(r journal.Record) bool {
			return r.Event == journal.Closed && r.Name == "a.vm" && r.Inbound && r.Protocol == policy.TCP
		},
	} {
		until(t, "the log tells of the connection "+what, func() bool {
			return slices.ContainsFunc(all, func(m *member) bool {
				records, _, _ := m.network.Journal.Since(0, 1000)
				return slices.ContainsFunc(records, want)
			})
		})
	}
}

func TestWhoLeavesANetworkIsCutOff(t *testing.T) {
	w := netdtest.NewWorld(t)
	all := members(t, w, `{"mode":"MODE_LOCKED"}`, `{"mode":"MODE_LOCKED"}`)
	join(t, all...)
	conn, err := all[0].guest.TCP(netdtest.Context(t), at("198.19.0.11:7"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	cut, err := all[1].network.SetPeers(nil)
	if err != nil || cut != 1 {
		t.Errorf("%d cut, %v", cut, err)
	}
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 100)); err == nil {
		t.Error("the connection is still there")
	}
	if conn, err := all[0].guest.TCP(netdtest.Context(t), at("198.19.0.11:7")); err == nil {
		conn.Close()
		t.Error("one that has left is reached")
	}
}

func TestPeersThatAreRefused(t *testing.T) {
	w := netdtest.NewWorld(t)
	all := members(t, w, `{"mode":"MODE_LOCKED"}`, `{"mode":"MODE_LOCKED"}`)
	join(t, all...)
	good := func() *netdv1.Peers {
		return &netdv1.Peers{Network: "lab", Self: all[0].peer, Others: []*netdv1.Peer{{Name: "b", Ipv4: "198.19.0.11", Socket: "/x"}}}
	}
	for what, change := range map[string]func(*netdv1.Peers){
		"no self":           func(p *netdv1.Peers) { p.Self = nil },
		"another range":     func(p *netdv1.Peers) { p.Others[0].Ipv4 = "10.0.0.1" },
		"no address":        func(p *netdv1.Peers) { p.Others[0].Ipv4 = "" },
		"the same address":  func(p *netdv1.Peers) { p.Others[0].Ipv4 = p.Self.Ipv4 },
		"the same name":     func(p *netdv1.Peers) { p.Others[0].Name = p.Self.Name },
		"the host's name":   func(p *netdv1.Peers) { p.Others[0].Name = "host" },
		"two labels":        func(p *netdv1.Peers) { p.Others[0].Name = "a.b" },
		"a relative socket": func(p *netdv1.Peers) { p.Others[0].Socket = "x" },
		"a long socket":     func(p *netdv1.Peers) { p.Others[0].Socket = "/" + strings.Repeat("x", 100) },
	} {
		words := good()
		change(words)
		if _, err := all[0].network.SetPeers(words); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	// Who is not in the network, or speaks no sense, is shown the door.
	for _, say := range [][]byte{append([]byte("bng1"), 198, 19, 0, 99, 0, 1, 0, 7), append([]byte("what"), make([]byte, 8)...)} {
		conn, err := net.Dial("unix", all[1].peer.Socket)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(say)
		if got, _ := io.ReadAll(conn); len(got) != 1 || got[0] != 2 {
			t.Errorf("%x was answered with %x", say, got)
		}
		conn.Close()
	}
}
