package netd_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/netdtest"
	"golang.org/x/net/dns/dnsmessage"
)

// chunked sends every write in small pieces, so that a hello comes in many segments.
type chunked struct{ net.Conn }

func (c chunked) Write(b []byte) (int, error) {
	sent := 0
	for piece := range slices.Chunk(b, 100) {
		n, err := c.Conn.Write(piece)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

func TestServerNamesAreChecked(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("good.example", "93.184.216.34")
	w.TLS("93.184.216.34:443")
	w.TLS("93.184.216.34:9443")
	network, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"good.example"},{"action":"ACTION_DENY","target":"worse.good.example"}]}`)
	guest.Ask(t, "good.example", dnsmessage.TypeA)
	greet := func(port, name string) error {
		conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:"+port))
		if err != nil {
			return err
		}
		defer conn.Close()
		client := tls.Client(chunked{conn}, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if _, err := client.Write([]byte("hello")); err != nil {
			return err
		}
		answer := make([]byte, 5)
		_, err = io.ReadFull(client, answer)
		return err
	}
	for _, c := range []struct {
		port, name string
		allowed    bool
	}{
		{"443", "good.example", true}, {"443", "GOOD.example", true}, {"9443", "good.example", true}, {"443", "evil.example", false}, {"9443", "evil.example", false},
		{"443", "", false}, {"443", "good.example.evil.example", false}, {"443", "worse.good.example", false},
	} {
		err := greet(c.port, c.name)
		if (err == nil) != c.allowed {
			t.Errorf("port %s, server name %q: %v", c.port, c.name, err)
		}
		if !c.allowed && (err == nil || !strings.Contains(err.Error(), "access denied")) {
			t.Errorf("port %s, server name %q: %v says nothing about access", c.port, c.name, err)
		}
	}
	records, _, _ := network.Journal.Since(0, 1000)
	for _, want := range []struct {
		event        journal.Event
		name, reason string
	}{{journal.Closed, "good.example", ""}, {journal.Denied, "evil.example", "name-mismatch"}, {journal.Denied, "worse.good.example", "deny-rule"}, {journal.Denied, "good.example", "no-server-name"}} {
		if !slices.ContainsFunc(records, func(r journal.Record) bool {
			return r.Event == want.event && r.Name == want.name && r.Verdict.Reason == want.reason
		}) {
			t.Errorf("the log has no record like %v", want)
		}
	}
}

// Beginnings that are neither whole nor right.
func TestBrokenHellosAreRefused(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("good.example", "93.184.216.34")
	reached := make(chan []byte, 16)
	for _, port := range []string{"443", "8443"} {
		w.Serve("93.184.216.34:"+port, func(conn net.Conn) {
			got, _ := io.ReadAll(conn)
			conn.Close()
			reached <- got
		})
	}
	_, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"good.example"}]}`)
	guest.Ask(t, "good.example", dnsmessage.TypeA)
	for i, beginning := range [][]byte{
		{22, 3, 1, 0, 4, 1, 0, 0, 0},
		{22, 3, 1, 0, 5, 2, 0, 0, 1, 0},
		{22, 3, 1, 0xff, 0xff, 1},
		{0x80, 0x2e, 1, 0, 2, 0, 0x15},
		{0x80, 0x2e, 1, 3, 1, 0, 0x15},
		append([]byte{22, 15}, helloOf("good.example")[2:]...),
		append([]byte{22, 3, 9}, helloOf("good.example")[3:]...),
		bytes.Repeat([]byte{0}, 20000),
		[]byte("\x16GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
	} {
		port := "443"
		if i > 0 && len(beginning) < 1000 {
			port = "8443"
		}
		conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:"+port))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write(beginning)
		conn.CloseWrite()
		io.ReadAll(conn)
		conn.Close()
		if got := <-reached; len(got) != 0 {
			t.Errorf("%x: the server got %x", beginning[:min(9, len(beginning))], got)
		}
	}
}

// A server that asks for a second hello takes the name in that.
func TestSecondHelloIsChecked(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("good.example", "93.184.216.34")
	reached := make(chan []byte, 16)
	w.Serve("93.184.216.34:443", func(conn net.Conn) {
		got, _ := io.ReadAll(conn)
		conn.Close()
		reached <- got
	})
	_, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"good.example"}]}`)
	guest.Ask(t, "good.example", dnsmessage.TypeA)
	good, evil := helloOf("good.example"), helloOf("evil.example")
	change := []byte{20, 3, 3, 0, 1, 1}
	finished := append([]byte{22, 3, 3, 0, 40, 1, 7}, make([]byte, 38)...)
	encrypted := []byte{23, 3, 3, 0, 2, 1, 1}
	for _, c := range []struct {
		after   [][]byte
		allowed bool
	}{
		{[][]byte{good, encrypted}, true}, {[][]byte{change, good, encrypted}, true}, {[][]byte{evil}, false}, {[][]byte{change, evil}, false}, {[][]byte{change, change, evil}, false},
		{[][]byte{encrypted, evil}, true}, {[][]byte{change, finished, encrypted}, true}, {[][]byte{{22, 3, 3, 0, 4, 16, 0, 0, 0}, change, finished}, true}, {nil, true},
	} {
		conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:443"))
		if err != nil {
			t.Fatal(err)
		}
		whole := append(slices.Clone(good), slices.Concat(c.after...)...)
		conn.Write(good)
		chunked{conn}.Write(whole[len(good):])
		conn.CloseWrite()
		io.ReadAll(conn)
		conn.Close()
		if got := <-reached; bytes.Equal(got, whole) != c.allowed || bytes.Contains(got, []byte("evil")) && !c.allowed {
			t.Errorf("%x: the server got %d of %d bytes", c.after, len(got), len(whole))
		}
	}
}

// helloOf is a ClientHello with nothing but a name.
func helloOf(name string) []byte {
	list := append([]byte{0, 0, byte(len(name))}, name...)
	extension := append([]byte{0, 0, 0, byte(len(list) + 2), 0, byte(len(list))}, list...)
	body := append(make([]byte, 34), 0, 0, 2, 0x13, 1, 1, 0, 0, byte(len(extension)))
	body = append(body, extension...)
	message := append([]byte{1, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 3, 1, 0, byte(len(message))}, message...)
}
