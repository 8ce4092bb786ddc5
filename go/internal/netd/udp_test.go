package netd_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/netdtest"
	"banger.dev/banger/internal/netd/plan"
	"golang.org/x/net/dns/dnsmessage"
)

// echoUDP at a public address.
func echoUDP(t *testing.T, w *netdtest.World, public string) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	w.Way(public, socket.LocalAddr())
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			socket.WriteTo(buffer[:n], from)
		}
	}()
}

// exchange one datagram.
func exchange(t *testing.T, guest *netdtest.Guest, target string, payload []byte) ([]byte, error) {
	t.Helper()
	socket, err := guest.UDP(at(target))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	socket.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := socket.Write(payload); err != nil {
		return nil, err
	}
	answer := make([]byte, 64<<10)
	n, err := socket.Read(answer)
	return answer[:n], err
}

func TestUDP(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("echo.example", "93.184.216.34")
	echoUDP(t, w, "93.184.216.34:7")
	echoUDP(t, w, "93.184.216.34:443")
	network, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"echo.example"}]}`)
	refused := func(target string, payload []byte) {
		t.Helper()
		tap := guest.Tap()
		guest.Packet(edge.Datagram(netip.AddrPortFrom(plan.Guest4, 4000), at(target), payload))
		await(t, tap, "a refusal from "+target, func(p []byte) bool {
			return p[0]>>4 == 4 && p[9] == 1 && p[20] == 3 && isFrom(p, at(target).Addr()) &&
				binary.BigEndian.Uint16(p[28+22:]) == at(target).Port()
		})
	}
	refused("93.184.216.34:7", []byte("too early"))
	guest.Ask(t, "echo.example", dnsmessage.TypeA)
	for _, size := range []int{0, 1, 1400, 9000, 60000} {
		got, err := exchange(t, guest, "93.184.216.34:7", make([]byte, size))
		if err != nil || len(got) != size {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
	}
	refused("93.184.216.34:443", []byte("quic"))
	quic := make([]byte, 1200)
	quic[0], quic[4] = 0xc0, 1
	refused("93.184.216.34:8443", quic)
	refused("8.8.8.8:53", netdtest.Question(t, "echo.example", dnsmessage.TypeA))
	refused("198.18.0.1:123", []byte("ntp"))
	refused("198.18.0.3:53", []byte("x"))
	refused("93.184.216.34:9", []byte("nobody listens"))

	if _, _, err := network.SetPolicy(netdtest.Policy(t, `{"mode":"MODE_NONE"}`)); err != nil {
		t.Fatal(err)
	}
	refused("93.184.216.34:7", []byte("too late"))
}

func TestNamesFollowThePolicy(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("good.example", "93.184.216.34", "2606:2800:220:1::1")
	w.Name("rebind.example", "10.0.0.1", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1", "64:ff9b::a00:1")
	w.Name("half.example", "192.168.0.1", "93.184.216.34")
	w.Name("inside.example", "10.1.2.3")
	w.Name("sub.bad.example", "93.184.216.34")
	network, guest := w.Start(`{"mode":"MODE_BALANCED","hostPorts":[5432],"rules":[
		{"action":"ACTION_DENY","target":"*.bad.example"},
		{"action":"ACTION_ALLOW","target":"inside.example","privateAddresses":true}]}`)
	const no = dnsmessage.RCodeNameError
	for _, c := range []struct {
		name  string
		kind  dnsmessage.Type
		code  dnsmessage.RCode
		found string
	}{
		{"good.example", dnsmessage.TypeA, 0, "93.184.216.34"},
		{"GOOD.example", dnsmessage.TypeAAAA, 0, "2606:2800:220:1::1"},
		{"rebind.example", dnsmessage.TypeA, no, ""},
		{"rebind.example", dnsmessage.TypeAAAA, no, ""},
		{"half.example", dnsmessage.TypeA, 0, "93.184.216.34"},
		{"inside.example", dnsmessage.TypeA, 0, "10.1.2.3"},
		{"sub.bad.example", dnsmessage.TypeA, no, ""},
		{"nothing.example", dnsmessage.TypeA, no, ""},
		{"host.vm", dnsmessage.TypeA, 0, "198.18.0.3"},
		{"host.vm", dnsmessage.TypeAAAA, 0, "fd62:616e:6765:72::3"},
		{"other.vm", dnsmessage.TypeA, no, ""},
		{"127.0.0.1", dnsmessage.TypeA, no, ""},
		{"0x7f.1", dnsmessage.TypeA, no, ""},
		{"good.example", dnsmessage.Type(65), 0, ""},
		{"good.example", dnsmessage.TypeALL, no, ""},
		{"good.example", dnsmessage.Type(10), no, ""},
		{"good.example", dnsmessage.TypeAXFR, no, ""},
		{"1.0.0.10.in-addr.arpa", dnsmessage.TypePTR, no, ""},
		{"good.example", dnsmessage.TypeTXT, 0, ""},
	} {
		code, found := guest.Ask(t, c.name, c.kind)
		var texts []string
		for _, address := range found {
			texts = append(texts, address.String())
		}
		if code != c.code || strings.Join(texts, " ") != c.found {
			t.Errorf("%s %s: %s %v", c.name, c.kind, code, found)
		}
	}
	for _, name := range []string{"sub.bad.example.", "other.vm.", "1.0.0.10.in-addr.arpa."} {
		if slices.Contains(w.Asked(), name) {
			t.Errorf("the question for %s left the host", name)
		}
	}
	records, _, _ := network.Journal.Since(0, 1000)
	found := slices.ContainsFunc(records, func(r journal.Record) bool {
		return r.Event == journal.Denied && r.Name == "rebind.example" && r.Verdict.Reason != ""
	})
	if !found {
		t.Error("the log does not tell of a name that points inside")
	}
}

func TestNameServerTakesNonsense(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("good.example", "93.184.216.34")
	_, guest := w.Start(`{"mode":"MODE_BALANCED"}`)
	question := netdtest.Question(t, "good.example", dnsmessage.TypeA)
	chaos := append([]byte(nil), question...)
	chaos[len(chaos)-1] = 3
	update := append([]byte(nil), question...)
	update[2] |= 5 << 3
	two := append([]byte(nil), question...)
	two[5] = 2
	for _, c := range []struct {
		message []byte
		code    dnsmessage.RCode
	}{{chaos, dnsmessage.RCodeRefused}, {update, dnsmessage.RCodeNotImplemented}, {two, dnsmessage.RCodeFormatError}, {question, 0}} {
		if answer := guest.AskRaw(t, c.message); dnsmessage.RCode(answer[3]&15) != c.code {
			t.Errorf("%x was answered with %x, not %s", c.message, answer, c.code)
		}
	}
}
