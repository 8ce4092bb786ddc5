package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/netdtest"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// Addresses of servers in the internet: public ones, and such that a policy has to keep a guest from.
var servers = []string{
	"93.184.216.34", "93.184.216.35", "10.0.0.1", "10.9.9.9", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254",
	"168.63.129.16", "198.51.100.1", "2606:2800:220:1::1", "fd00:1::1", "fd00:ec2::254", "2001:db8:9::1", "64:ff9b::a00:1",
}

// zone of the internet's name server.
var zone = map[string][]string{
	"good.example.":     {"93.184.216.34", "2606:2800:220:1::1"},
	"evil.example.":     {"93.184.216.34"},
	"other.example.":    {"93.184.216.35"},
	"rebind.example.":   {"10.0.0.1", "169.254.169.254", "192.0.2.2"},
	"corp.example.":     {"10.0.0.1"},
	"a.b.wild.example.": {"93.184.216.34"},
	"wild.example.":     {"93.184.216.34"},
}

// worlds is an internet, a host in it, and a guest behind the program.
type worlds struct {
	internet, host, guest *netdtest.Namespace
	netd                  *program
}

func newWorlds(t testing.TB, policy string) *worlds {
	t.Helper()
	w := &worlds{netdtest.NewNamespace(t), netdtest.NewNamespace(t), netdtest.NewNamespace(t), nil}
	netdtest.Join(w.host, "out", w.internet, "in")
	w.host.IP(`address add 192.0.2.2/24 dev out
		address add 2001:db8::2/64 dev out nodad
		address add 93.184.216.99/32 dev lo
		route add default via 192.0.2.1`)
	w.internet.IP(`address add 192.0.2.1/24 dev in
		address add 2001:db8::1/64 dev in nodad`)
	w.host.IP(`-6 route add default via 2001:db8::1
		-6 address add 2606:2800:220:9::9/128 dev lo nodad
		route add local 93.184.220.0/24 dev lo`)
	for _, address := range servers {
		bits := "/32"
		if strings.Contains(address, ":") {
			bits = "/128 nodad"
		}
		address, bits, _ := strings.Cut(address+bits, " ")
		w.internet.IP("address add " + address + " dev lo " + bits)
	}
	w.host.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0) })
	w.serve(t)
	w.netd = begin(t, w.host, policy)
	w.guest.Plug(w.netd.vmm())
	return w
}

// serve answers on some ports of every address of the internet, and of the host.
func (w *worlds) serve(t testing.TB) {
	for _, in := range []*netdtest.Namespace{w.internet, w.host} {
		who := "internet"
		if in == w.host {
			who = "host"
		}
		for _, port := range []int{22, 80, 443, 5432, 853} {
			listener := listenTCP(t, in, fmt.Sprintf("[::]:%d", port))
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						io.WriteString(conn, who+"\n")
						netdtest.Echo(conn)
					}()
				}
			}()
		}
		for _, port := range []int{53, 7, 443} {
			socket := listenUDP(t, in, fmt.Sprintf("[::]:%d", port))
			go serveUDP(socket, port == 53 && in == w.internet)
		}
	}
}

func listenTCP(t testing.TB, in *netdtest.Namespace, address string) net.Listener {
	t.Helper()
	var listener net.Listener
	err := in.Do(func() (err error) {
		listener, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

func listenUDP(t testing.TB, in *netdtest.Namespace, address string) *net.UDPConn {
	t.Helper()
	var socket net.PacketConn
	err := in.Do(func() (err error) {
		// Answers come from the address that was asked.
		config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
			return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1) })
		}}
		socket, err = config.ListenPacket(context.Background(), "udp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket.(*net.UDPConn)
}

func serveUDP(socket *net.UDPConn, names bool) {
	buffer, control := make([]byte, 64<<10), make([]byte, 256)
	for {
		n, m, _, from, err := socket.ReadMsgUDPAddrPort(buffer, control)
		if err != nil {
			return
		}
		answer := buffer[:n]
		if names {
			answer = netdtest.AnswerFrom(zone, answer)
		}
		socket.WriteMsgUDPAddrPort(answer, control[:m], from)
	}
}

// tcp says what a guest meets that connects: the word of who answered, or why not.
func (w *worlds) tcp(target string) string {
	var conn net.Conn
	err := w.guest.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp", target, 10*time.Second)
		return err
	})
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	word := make([]byte, 64)
	n, err := conn.Read(word)
	if err != nil {
		return failure(err)
	}
	return strings.TrimSpace(string(word[:n]))
}

func (w *worlds) udp(target string) string {
	var conn net.Conn
	err := w.guest.Do(func() (err error) {
		conn, err = net.Dial("udp", target)
		return err
	})
	if err != nil {
		return failure(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Write([]byte("hello")); err != nil {
		return failure(err)
	}
	word := make([]byte, 64)
	n, err := conn.Read(word)
	if err != nil {
		return failure(err)
	}
	return string(word[:n])
}

// resolve a name with the guest's name server.
func (w *worlds) resolve(t testing.TB, name string) (dnsmessage.RCode, []netip.Addr) {
	t.Helper()
	var conn net.Conn
	err := w.guest.Do(func() (err error) {
		conn, err = net.Dial("udp", "198.18.0.1:53")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	conn.Write(netdtest.Question(t, name, dnsmessage.TypeA))
	answer := make([]byte, 4096)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatalf("resolve %s: %v", name, err)
	}
	var message dnsmessage.Message
	if err := message.Unpack(answer[:n]); err != nil {
		t.Fatal(err)
	}
	var found []netip.Addr
	for _, r := range message.Answers {
		if body, ok := r.Body.(*dnsmessage.AResource); ok {
			found = append(found, netip.AddrFrom4(body.A))
		}
	}
	return message.RCode, found
}

// failure in one word.
func failure(err error) string {
	var late net.Error
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES), errors.Is(err, unix.ENETUNREACH):
		return "prohibited"
	case errors.As(err, &late) && late.Timeout():
		return "TIMEOUT"
	}
	return err.Error()
}

func (w *worlds) socket(name string) string { return filepath.Join(w.netd.dir, name) }
