// Package relay carries TCP connections of a guest to where they may go.
package relay

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"banger.dev/banger/internal/netd/flows"
	"banger.dev/banger/internal/netd/hostnet"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/link"
	"banger.dev/banger/internal/netd/peering"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/secrets"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Relay handles connection attempts.
type Relay struct {
	Judge   *judge.Judge
	Flows   *flows.Registry
	Journal *journal.Journal
	Host    *hostnet.Host
	// Names serves the name server's TCP port.
	Names func(context.Context, *link.Conn)
	// Secrets in force; nil: none.
	Secrets func() *secrets.Set
	// Roots that hosts of secrets prove themselves with. Nil: those of the system.
	Roots *x509.CertPool
	// Limits of open connections, and of those in the making.
	MaxOpen, MaxConnecting int

	mu         sync.Mutex
	connecting int
	open       int
}

// destination is where a connection goes.
type destination struct {
	question policy.Question
	verdict  policy.Verdict
	// asked is what the guest wrote, dial where it leads.
	asked, dial netip.AddrPort
	// port of the guest's side.
	from uint16
}

// Handle one attempt. It returns when the connection is over. Denied is answered with a reset, now.
func (r *Relay) Handle(ctx context.Context, request *tcp.ForwarderRequest) {
	id := request.ID()
	asked := netip.AddrPortFrom(link.Address(id.LocalAddress), id.LocalPort)
	if plan.Gateway(asked.Addr()) && asked.Port() == 53 {
		r.serveNames(ctx, request, asked)
		return
	}
	to := r.decide(asked)
	if !to.verdict.Allowed {
		r.deny(to)
		request.Complete(true)
		return
	}
	if !r.begin() {
		to.verdict = policy.Verdict{Rule: to.verdict.Rule, Reason: "limit"}
		r.deny(to)
		request.Complete(true)
		return
	}
	defer r.end()
	to.from = id.RemotePort
	upstream, err := r.connect(ctx, to)
	if err != nil {
		r.connected()
		to.verdict.Reason = hostnet.Failure(err)
		r.record(journal.Failed, to)
		request.Complete(true)
		return
	}
	defer upstream.Close()
	guest, err := link.Accept(request, r.opened())
	r.connected()
	if err != nil {
		// The guest is gone, or never was there: the server has seen a connection, so the log has it.
		to.verdict.Reason = "half-open"
		r.record(journal.Failed, to)
		return
	}
	session := &session{relay: r, guest: guest, upstream: upstream, to: to}
	session.run(ctx)
}

// stream is a connection outwards.
type stream interface {
	net.Conn
	CloseWrite() error
	SyscallConn() (syscall.RawConn, error)
}

// connect to a host, or to another VM.
func (r *Relay) connect(ctx context.Context, to destination) (stream, error) {
	network := r.Judge.Peers()
	if peer, ok := network.Other(to.dial.Addr()); ok {
		return peering.TCP(ctx, network, peer, to.from, to.dial)
	}
	if plan.Peer(to.dial.Addr()) {
		// It has left the network just now; nothing of the host is there.
		return nil, syscall.EHOSTUNREACH
	}
	return r.Host.TCP(ctx, to.dial)
}

func (r *Relay) decide(asked netip.AddrPort) destination {
	address := asked.Addr()
	p, _ := r.Judge.Policy()
	if plan.Host(address) {
		q := policy.Question{Protocol: policy.TCP, Address: address, Port: asked.Port(), Names: []string{plan.HostName}}
		loopback := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), asked.Port())
		return destination{question: q, verdict: p.DecideHostPort(asked.Port()), asked: asked, dial: loopback}
	}
	q := r.Judge.Question(policy.TCP, asked)
	return destination{question: q, verdict: r.Judge.Decide(q), asked: asked, dial: asked}
}

// serveNames is a connection to the name server.
func (r *Relay) serveNames(ctx context.Context, request *tcp.ForwarderRequest, asked netip.AddrPort) {
	if !r.begin() {
		r.deny(destination{question: policy.Question{Protocol: policy.TCP}, verdict: policy.Verdict{Reason: "limit"}, asked: asked})
		request.Complete(true)
		return
	}
	defer r.end()
	guest, err := link.Accept(request, r.MaxOpen)
	r.connected()
	if err != nil {
		return
	}
	defer guest.Close()
	r.Names(ctx, guest)
}

func (r *Relay) deny(to destination) { r.record(journal.Denied, to) }

func (r *Relay) record(event journal.Event, to destination) {
	record := journal.Record{Event: event, Protocol: policy.TCP, Target: to.asked, Verdict: to.verdict}
	if len(to.question.Names) > 0 {
		record.Name, record.NameSource = to.question.Names[0], "dns"
	}
	r.Journal.Add(record)
}

// begin takes a place for a connection that is being made.
func (r *Relay) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open >= r.MaxOpen || r.connecting >= r.MaxConnecting {
		return false
	}
	r.open++
	r.connecting++
	return true
}

func (r *Relay) connected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connecting--
}

func (r *Relay) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
}

func (r *Relay) opened() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// refusal is what a client of HTTP reads.
func refusal(name string, verdict policy.Verdict) string {
	text := fmt.Sprintf("banger: the network policy of this VM denies %s (%s: %s)\n", name, verdict.Reason, verdict.Rule)
	if verdict.Suggestion != "" {
		text += fmt.Sprintf("To allow it: %s\n", verdict.Suggestion)
	}
	return text
}
