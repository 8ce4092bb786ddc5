package netdtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/hostnet"
	"banger.dev/banger/internal/netd/settings"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"
)

// World is an internet on the loopback: addresses that look public lead to servers of the test.
type World struct {
	t testing.TB
	// Roots that servers prove themselves with.
	Roots *x509.CertPool

	mu    sync.Mutex
	ways  map[netip.AddrPort]netip.AddrPort
	zone  map[string][]netip.Addr
	asked []string
	dns   string
}

// NewWorld has a name server and nothing else.
func NewWorld(t testing.TB) *World {
	w := &World{t: t, ways: map[netip.AddrPort]netip.AddrPort{}, zone: map[string][]netip.Addr{}}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	w.dns = socket.LocalAddr().String()
	go w.serveDNS(socket)
	return w
}

// Name gives a name addresses, in place of those that it had.
func (w *World) Name(name string, addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.zone[name+"."] = nil
	for _, address := range addresses {
		w.zone[name+"."] = append(w.zone[name+"."], netip.MustParseAddr(address))
	}
}

// Asked are the names that reached the name server.
func (w *World) Asked() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.asked...)
}

func (w *World) serveDNS(socket net.PacketConn) {
	buffer := make([]byte, 4096)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer := w.answer(buffer[:n]); answer != nil {
			socket.WriteTo(answer, from)
		}
	}
}

func (w *World) answer(query []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name, ok := asked(query); ok {
		w.asked = append(w.asked, name)
	}
	return answerFrom(w.zone, query)
}

// Way makes an address of the internet lead to one of the loopback.
func (w *World) Way(public string, to net.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ways[netip.MustParseAddrPort(public)] = netip.MustParseAddrPort(to.String())
}

func (w *World) translate(to netip.AddrPort) netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	if way, ok := w.ways[to]; ok {
		return way
	}
	if to.Addr().IsLoopback() {
		return to
	}
	// Nobody listens there, and nothing leaves the machine.
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 1)
}

// Serve runs a TCP server at a public address.
func (w *World) Serve(public string, handle func(net.Conn)) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { listener.Close() })
	w.Way(public, listener.Addr())
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return listener
}

// HTTP runs an HTTP server at a public address that says who it was asked for.
func (w *World) HTTP(public string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.Way(public, listener.Addr())
	server := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, "you asked %s for %s, upgrade: %v", r.Host, r.URL.Path, r.Header["Upgrade"])
	})}
	go server.Serve(listener)
	w.t.Cleanup(func() { server.Close() })
}

// TLS runs a server at a public address that echoes, with a certificate for any name.
func (w *World) TLS(public string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: key}}}
	w.Serve(public, func(conn net.Conn) { Echo(tls.Server(conn, config)) })
}

// Echo says what it hears.
func Echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			conn.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// Start a network with a policy in JSON and a guest on it.
func (w *World) Start(policyJSON string) (*netd.Network, *Guest) {
	w.t.Helper()
	return w.StartWith(`{"vmId":"vm","startId":"start","policy":` + policyJSON + `,"resolvers":["` + w.dns + `"]}`)
}

// Resolver is the name server's address.
func (w *World) Resolver() string { return w.dns }

// StartWith a whole configuration.
func (w *World) StartWith(config string) (*netd.Network, *Guest) {
	w.t.Helper()
	s, err := settings.Parse([]byte(config))
	if err != nil {
		w.t.Fatal(err)
	}
	network, err := netd.New(s, &hostnet.Host{Translate: w.translate, Roots: w.Roots})
	if err != nil {
		w.t.Fatal(err)
	}
	ours, theirs := Pair(w.t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		network.Attach(ours)
	}()
	w.t.Cleanup(func() {
		ours.Close()
		<-served
		network.Close()
	})
	return network, NewGuest(w.t, theirs)
}

// Policy in the words of the contract.
func Policy(t testing.TB, text string) *netdv1.Policy {
	t.Helper()
	var p netdv1.Policy
	if err := protojson.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// Pair is a connected pair of unix stream sockets.
func Pair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		if conns[i], err = fileConn(fd); err != nil {
			t.Fatal(err)
		}
	}
	return conns[0], conns[1]
}

// Context that ends when a test has waited for too long.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
