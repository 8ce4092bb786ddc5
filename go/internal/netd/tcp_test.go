package netd_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"banger.dev/banger/internal/netd/netdtest"
	"golang.org/x/net/dns/dnsmessage"
)

func at(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func TestBalancedCarriesTCPBothWays(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Serve("93.184.216.34:7", netdtest.Echo)
	w.Serve("[2606:2800:220:1::1]:7", netdtest.Echo)
	_, guest := w.Start(`{"mode":"MODE_BALANCED"}`)
	for _, target := range []string{"93.184.216.34:7", "[2606:2800:220:1::1]:7"} {
		conn, err := guest.TCP(netdtest.Context(t), at(target))
		if err != nil {
			t.Fatalf("connect to %s: %v", target, err)
		}
		sent := make([]byte, 5<<20)
		rand.Read(sent)
		go func() {
			conn.Write(sent)
			conn.CloseWrite()
		}()
		got, err := io.ReadAll(conn)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
			t.Fatalf("%s: %d of %d bytes came back, %v", target, len(got), len(sent), err)
		}
		conn.Close()
	}
}

func TestDeniedTCPIsReset(t *testing.T) {
	w := netdtest.NewWorld(t)
	_, guest := w.Start(`{"mode":"MODE_BALANCED","rules":[{"action":"ACTION_DENY","target":"8.8.8.8"}]}`)
	for _, target := range []string{
		"10.0.0.1:80", "192.168.1.1:22", "172.16.5.5:443", "100.64.0.1:80", "169.254.169.254:80",
		"198.18.0.1:22", "198.18.0.3:5432", "198.18.0.77:80", "198.18.1.1:80", "240.0.0.1:80", "8.8.8.8:53", "168.63.129.16:80",
		"[::ffff:93.184.216.34]:80", "[fd00:ec2::254]:80", "[64:ff9b::7f00:1]:22", "[64:ff9b::a00:1]:22",
		"[2002:7f00:1::]:80", "[fd62:616e:6765:72::3]:22", "[fc00::1]:80", "[2001:db8::1]:80",
	} {
		conn, err := guest.TCP(netdtest.Context(t), at(target))
		if err == nil {
			conn.Close()
			t.Errorf("%s was reached", target)
		} else if !strings.Contains(err.Error(), "refused") && !strings.Contains(err.Error(), "unreachable") && !strings.Contains(err.Error(), "route") {
			t.Errorf("%s: %v instead of a refusal", target, err)
		}
	}
}

func TestNameRulesHoldAgainstForgedNames(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("good.example", "93.184.216.34")
	w.Name("evil.example", "93.184.216.34")
	w.HTTP("93.184.216.34:80")
	w.TLS("93.184.216.34:443")
	_, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"good.example"}]}`)

	if conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:80")); err == nil {
		conn.Close()
		t.Fatal("an address was reached that no name stands for yet")
	}
	if code, _ := guest.Ask(t, "evil.example", dnsmessage.TypeA); code != dnsmessage.RCodeNameError {
		t.Fatalf("a denied name was answered with %s", code)
	}
	if code, found := guest.Ask(t, "good.example", dnsmessage.TypeA); code != 0 || len(found) != 1 {
		t.Fatalf("an allowed name was answered with %s and %v", code, found)
	}
	for _, asked := range w.Asked() {
		if asked == "evil.example." {
			t.Error("a denied name left the host")
		}
	}

	speak := func(target, say string) string {
		conn, err := guest.TCP(netdtest.Context(t), at(target))
		if err != nil {
			t.Fatalf("connect to %s: %v", target, err)
		}
		defer conn.Close()
		io.WriteString(conn, say)
		got, _ := io.ReadAll(conn)
		return string(got)
	}
	for _, c := range []struct{ say, want, not string }{
		{"GET /a HTTP/1.1\r\nHost: good.example\r\nConnection: close\r\n\r\n", "you asked good.example for /a", ""},
		{"GET /b HTTP/1.1\r\nHost: good.example:80\r\nConnection: close\r\n\r\n", "you asked good.example:80 for /b", ""},
		{"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "--allow evil.example:80", "you asked"},
		{"\r\n \tGET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "", "you asked"},
		{"GET http://evil.example/ HTTP/1.1\r\nHost: good.example\r\nConnection: close\r\n\r\n", "403 Forbidden", "you asked"},
		{"GET / HTTP/1.0\r\n\r\n", "403 Forbidden", "you asked"},
		{"GET /\r\n", "", "you asked"},
		{"GET /c HTTP/1.1\r\nHost: good.example\r\n\r\nGET /d HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "for /c", "for /d"},
		{"POST /c HTTP/1.1\r\nHost: good.example\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /d HTTP/1.1\r\nHost: evil.example\r\n\r\n", "", "for /d"},
		{"GET / HTTP/1.1\r\nHost: good.example\r\nHost: evil.example\r\n\r\n", "400", "you asked"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "you asked"},
		{"CONNECT evil.example:443 HTTP/1.1\r\nHost: good.example\r\n\r\n", "403", "200"},
		{"hello there\r\n", "", "you asked"},
		{"GET /u HTTP/1.1\r\nHost: good.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\nGET /z HTTP/1.1\r\nHost: good.example\r\nConnection: close\r\n\r\n", "upgrade: []", "upgrade: [h2c]"},
	} {
		got := speak("93.184.216.34:80", c.say)
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%q was answered with %q; wanted %q, not %q", c.say, got, c.want, c.not)
		}
	}
}

func TestServerSpeaksFirst(t *testing.T) {
	w := netdtest.NewWorld(t)
	w.Name("git.example", "93.184.216.34")
	w.Serve("93.184.216.34:22", func(conn net.Conn) {
		io.WriteString(conn, "SSH-2.0-server\r\n")
		netdtest.Echo(conn)
	})
	_, guest := w.Start(`{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"*.example","firstPort":22}]}`)
	guest.Ask(t, "git.example", dnsmessage.TypeA)
	conn, err := guest.TCP(netdtest.Context(t), at("93.184.216.34:22"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	want := []byte("SSH-2.0-server\r\nSSH-2.0-client\r\n")
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got[:16]); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "SSH-2.0-client\r\n")
	if _, err := io.ReadFull(conn, got[16:]); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%q, %v", got, err)
	}
}
