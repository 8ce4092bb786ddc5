package netd_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/netdtest"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"golang.org/x/net/dns/dnsmessage"
)

// until something holds, or the test has waited for too long.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited for too long: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func open(n *netd.Network, protocol policy.Protocol) int {
	count, _ := n.Flows.Count(protocol)
	return count
}

func TestPolicyChangesCutOpenConnections(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Serve("93.184.216.34:7", netdtest.Echo)
	w.Serve("93.184.216.35:7", netdtest.Echo)
	echoUDP(t, w, "93.184.216.34:9")
	network, guest := w.Start(`{"mode":"MODE_BALANCED"}`)
	var conns []net.Conn
	for _, target := range []string{"93.184.216.34:7", "93.184.216.35:7"} {
		conn, err := guest.TCP(netdtest.Context(t), at(target))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		io.WriteString(conn, "x")
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	if _, err := exchange(t, guest, "93.184.216.34:9", []byte("x")); err != nil {
		t.Fatal(err)
	}
	generation, cut, err := network.SetPolicy(netdtest.Policy(t, `{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"93.184.216.35"}]}`))
	if err != nil || generation != 2 || cut != 2 {
		t.Errorf("generation %d, %d cut, %v", generation, cut, err)
	}
	if n, err := conns[0].Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a connection that is not allowed any more: %d bytes, %v", n, err)
	}
	io.WriteString(conns[1], "y")
	if _, err := conns[1].Read(make([]byte, 1)); err != nil {
		t.Errorf("a connection that is still allowed: %v", err)
	}
	if _, _, err := network.SetPolicy(netdtest.Policy(t, `{"mode":"MODE_OPEN","rules":[{"action":"ACTION_ALLOW","target":"what is this"}]}`)); err == nil {
		t.Error("a policy that cannot be understood was taken")
	}
	if p, generation := network.Judge.Policy(); p.Mode() != policy.Locked || generation != 2 {
		t.Error("a policy that was refused has changed something")
	}
}

func TestDenialsOfTwoPoliciesAreTwoRecords(t *testing.T) {
	network, _ := netdtest.NewWorld(t).Start(`{"mode":"MODE_LOCKED"}`)
	denied := func() {
		network.Journal.Add(journal.Record{Event: journal.Denied, Verdict: policy.Verdict{Reason: "no-rule"}})
	}
	denied()
	denied()
	if _, _, err := network.SetPolicy(netdtest.Policy(t, `{"mode":"MODE_NONE"}`)); err != nil {
		t.Fatal(err)
	}
	denied()
	records, _, _ := network.Journal.Since(0, 10)
	if len(records) != 3 || records[1].Repeated != 1 || records[2].Repeated != 0 {
		t.Errorf("a denial, its repeats and one under the next policy: %+v", records)
	}
}

func TestManyConnectionsLeaveNothing(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Serve("93.184.216.34:7", netdtest.Echo)
	network, guest := w.Start(`{"mode":"MODE_BALANCED"}`)
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round := func(count int) {
		for range count {
			conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:7"))
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, "x")
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
		until(t, "connections are closed", func() bool { return open(network, policy.TCP) == 0 })
	}
	round(10)
	before, goroutines := descriptors(), runtime.NumGoroutine()
	round(1000)
	until(t, "descriptors are closed", func() bool { return descriptors() <= before+4 })
	until(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines+10 })
}

func TestFloodsAreBounded(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Serve("93.184.216.34:7", netdtest.Echo)
	echoUDP(t, w, "93.184.216.34:9")
	network, guest := w.StartWith(`{"policy":{"mode":"MODE_BALANCED"},"resolvers":["` + w.Resolver() + `"],"limits":{
		"tcpConnections":20,"tcpConnecting":5,"udpFlows":30,"dnsNames":40,"dnsPending":4,"logRecords":100}}`)

	// Handshakes that are never finished: the guest's stack does not know of them, and resets what is answered. So many that all
	// places are taken again and again.
	for port := range uint16(3000) {
		guest.Packet(syn(netip.AddrPortFrom(plan.Guest4, 10000+port), at("93.184.216.34:7")))
	}
	until(t, "half-open connections are gone", func() bool { return open(network, policy.TCP) == 0 })

	var conns []net.Conn
	refused := 0
	for range 40 {
		conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:7"))
		if err != nil {
			refused++
			continue
		}
		conns = append(conns, conn)
	}
	if len(conns) > 20 || refused < 20 {
		t.Errorf("%d connections, %d refused with a limit of 20", len(conns), refused)
	}
	for _, conn := range conns {
		conn.Close()
	}
	for i := range 200 {
		socket, err := guest.UDP(at("93.184.216.34:9"))
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		socket.Write([]byte{byte(i)})
	}
	until(t, "UDP flows have come", func() bool { _, total := network.Flows.Count(policy.UDP); return total >= 200 })
	until(t, "UDP flows are within the limit", func() bool { return open(network, policy.UDP) <= 30 })

	for i := range 300 {
		name := string(rune('a'+i%26)) + string(rune('a'+i/26)) + ".example"
		w.Name(name, "93.184.216.34")
		if code, _ := guest.Ask(t, name, dnsmessage.TypeA); code != 0 {
			t.Fatal(name, code)
		}
	}
	if size := network.Bindings.Size(); size != 40 {
		t.Errorf("%d names are remembered with a limit of 40", size)
	}
	records, missed, _ := network.Journal.Since(0, 1000)
	if len(records) != 100 || missed == 0 {
		t.Errorf("%d records are kept with a limit of 100; %d were missed", len(records), missed)
	}
	if !slices.IsSortedFunc(records, func(a, b journal.Record) int { return int(a.Sequence) - int(b.Sequence) }) {
		t.Error("records are out of order")
	}
	if _, limited := network.Journal.Denials(); limited == 0 {
		t.Error("the log does not tell of limits")
	}
}

// A guest that takes nothing from its queue must not stop the host's side.
func TestAGuestThatReadsNothing(t *testing.T) {
	w := netdtest.NewWorld(t)
	network, _ := w.Start(`{"mode":"MODE_BALANCED"}`)
	ours, theirs := netdtest.Pair(t)
	served := make(chan error, 1)
	go func() { served <- network.Attach(ours) }()
	guest := netdtest.Mute(theirs)
	for i := range uint16(5000) {
		if err := guest.Packet(syn(netip.AddrPortFrom(plan.Guest4, i+1), at("10.0.0.1:80"))); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, _, err := network.SetPolicy(netdtest.Policy(t, `{"mode":"MODE_NONE"}`))
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("a change of the policy waits for the guest")
	}
	theirs.Close()
	select {
	case <-served:
	case <-time.After(20 * time.Second):
		t.Error("the end of the VMM was not seen")
	}
}
