// Package ping carries ICMP echo requests of a guest to where they may go, by the kernel's ping sockets, which need no
// privilege where the host's net.ipv4.ping_group_range has the user in it.
package ping

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/flows"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"golang.org/x/sys/unix"
)

const (
	idle     = 10 * time.Second
	maxFlows = 64
	// What fits any link with its headers; larger echoes test links, not hosts.
	maxPayload = 1400
)

// Pinger handles the echo requests of one guest.
type Pinger struct {
	Judge   *judge.Judge
	Flows   *flows.Registry
	Journal *journal.Journal
	// Send gives the guest an IP packet.
	Send func(packet []byte)

	mu    sync.Mutex
	flows map[key]*flow
}

type key struct {
	target     netip.Addr
	identifier uint16
}

type flow struct {
	key
	socket net.Conn
	record *flows.Flow

	mu sync.Mutex
	// last request: replies are made of its headers.
	last []byte
}

// Handle one echo request, which is the callee's. It does not block.
func (p *Pinger) Handle(target netip.Addr, request []byte) {
	identifier, sequence, payload := edge.Echo(request)
	if _, peer := p.Judge.Peers().Other(target); peer && p.Judge.Decide(p.Judge.Question(policy.ICMP, netip.AddrPortFrom(target, 0))).Allowed {
		// Another VM of the network: its netd answers for it, and this one for that.
		p.Send(edge.EchoReply(request, payload))
		return
	}
	k := key{target, identifier}
	p.mu.Lock()
	f := p.flows[k]
	full := len(p.flows) >= maxFlows
	p.mu.Unlock()
	if f == nil {
		if f = p.open(k, request, full); f == nil {
			return
		}
	}
	if len(payload) > maxPayload {
		p.Send(edge.Unreachable(request, edge.AdminProhibited))
		return
	}
	f.mu.Lock()
	f.last = request
	f.mu.Unlock()
	f.socket.SetReadDeadline(time.Now().Add(idle))
	if _, err := f.socket.Write(echo(target, sequence, payload)); err != nil {
		p.Send(edge.Unreachable(request, edge.HostUnreachable))
		return
	}
	f.record.Up.Add(uint64(len(payload)))
}

func (p *Pinger) open(k key, request []byte, full bool) *flow {
	q := p.Judge.Question(policy.ICMP, netip.AddrPortFrom(k.target, 0))
	verdict := p.Judge.Decide(q)
	if verdict.Allowed && plan.Peer(k.target) {
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "no-such-vm"}
	}
	if verdict.Allowed && full {
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "limit"}
	}
	var socket net.Conn
	if verdict.Allowed {
		var err error
		if socket, err = dial(k.target); err != nil {
			verdict = policy.Verdict{Rule: verdict.Rule, Reason: "host-cannot-ping"}
		}
	}
	if !verdict.Allowed {
		p.Send(edge.Unreachable(request, edge.AdminProhibited))
		record := journal.Record{Event: journal.Denied, Protocol: policy.ICMP, Target: netip.AddrPortFrom(k.target, 0), Verdict: verdict}
		if len(q.Names) > 0 {
			record.Name, record.NameSource = q.Names[0], "dns"
		}
		p.Journal.Add(record)
		return nil
	}
	f := &flow{key: k, socket: socket}
	p.mu.Lock()
	if p.flows == nil {
		p.flows = map[key]*flow{}
	}
	p.flows[k] = f
	p.mu.Unlock()
	f.record = p.Flows.Open(q, netip.AddrPortFrom(k.target, 0), verdict, func() { socket.Close() })
	go p.receive(f)
	return f
}

func (p *Pinger) receive(f *flow) {
	defer func() {
		p.mu.Lock()
		delete(p.flows, f.key)
		p.mu.Unlock()
		f.socket.Close()
		p.Flows.Close(f.record)
	}()
	buffer := make([]byte, maxPayload+8)
	for {
		n, err := f.socket.Read(buffer)
		if err != nil {
			return
		}
		if n < 8 {
			continue
		}
		f.mu.Lock()
		request := append([]byte(nil), f.last...)
		f.mu.Unlock()
		if len(request) == 0 {
			continue
		}
		f.record.Down.Add(uint64(n - 8))
		p.Send(edge.EchoReplyTo(request, binary.BigEndian.Uint16(buffer[6:]), buffer[8:n]))
	}
}

// dial makes a ping socket: the kernel puts the identifier in, and gives back replies to this socket only.
func dial(target netip.Addr) (net.Conn, error) {
	var to unix.Sockaddr
	family, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	if target.Is4() {
		to = &unix.SockaddrInet4{Addr: target.As4()}
	} else {
		family, protocol = unix.AF_INET6, unix.IPPROTO_ICMPV6
		to = &unix.SockaddrInet6{Addr: target.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "ping")
	defer file.Close()
	if err := unix.Connect(fd, to); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}

func echo(target netip.Addr, sequence uint16, payload []byte) []byte {
	message := make([]byte, 8, 8+len(payload))
	message[0] = 8
	if target.Is6() {
		message[0] = 128
	}
	binary.BigEndian.PutUint16(message[6:], sequence)
	return append(message, payload...)
}
