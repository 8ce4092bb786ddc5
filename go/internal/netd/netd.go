// Package netd is the network of one VM, put together: the link to the VMM, the policy, and what carries connections out.
package netd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/addresses"
	"banger.dev/banger/internal/netd/bindings"
	"banger.dev/banger/internal/netd/datagram"
	"banger.dev/banger/internal/netd/dns"
	"banger.dev/banger/internal/netd/flows"
	"banger.dev/banger/internal/netd/hostnet"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/link"
	"banger.dev/banger/internal/netd/peering"
	"banger.dev/banger/internal/netd/peers"
	"banger.dev/banger/internal/netd/ping"
	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/relay"
	"banger.dev/banger/internal/netd/secrets"
	"banger.dev/banger/internal/netd/settings"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// More attempts than may be connecting are seen, so that they can be refused instead of being ignored.
const attempts = 4096

// Network of one VM.
type Network struct {
	Settings *settings.Settings
	Started  time.Time
	Journal  *journal.Journal
	Judge    *judge.Judge
	Bindings *bindings.Table
	Flows    *flows.Registry
	Link     *link.Link
	Names    *dns.Server

	mu       sync.Mutex
	words    *netdv1.Policy
	attached bool
	ctx      context.Context
	stop     context.CancelFunc
	secrets  atomic.Pointer[secrets.Set]
	peering  *peering.Server
}

// New makes the network, with the first policy in force and nobody attached. Host nil: the real one.
func New(s *settings.Settings, host *hostnet.Host) (*Network, error) {
	servers, err := dns.NewServers(s.Resolvers)
	if err != nil {
		return nil, err
	}
	n := &Network{Settings: s, Started: time.Now(), words: s.Words}
	n.ctx, n.stop = context.WithCancel(context.Background())
	if err := n.SetSecrets(s.Secrets); err != nil {
		return nil, err
	}
	n.Journal = journal.New(s.Limits.LogRecords)
	n.Bindings = bindings.New(s.Limits.DNSNames)
	own := &addresses.OwnAddresses{}
	isOwn := own.Is
	if host == nil {
		host = &hostnet.Host{}
	} else if host.Translate != nil {
		isOwn = func(netip.Addr) bool { return false }
	}
	n.Judge = judge.New(s.Policy, n.Bindings, isOwn)
	n.Flows = flows.New(n.Judge, n.Journal)
	n.Names = &dns.Server{Judge: n.Judge, Bindings: n.Bindings, Journal: n.Journal, Servers: servers, Slots: make(chan struct{}, s.Limits.DNSPending)}
	send := func(packet []byte) { n.Link.Send(packet) }
	tcpRelay := &relay.Relay{
		Judge: n.Judge, Flows: n.Flows, Journal: n.Journal, Host: host,
		Names:   func(ctx context.Context, conn *link.Conn) { n.Names.ServeStream(ctx, conn) },
		Secrets: n.secrets.Load, Roots: host.Roots,
		MaxOpen: s.Limits.TCPConnections, MaxConnecting: s.Limits.TCPConnecting,
	}
	carrier := &datagram.Carrier{
		Judge: n.Judge, Flows: n.Flows, Journal: n.Journal, Host: host, MaxFlows: s.Limits.UDPFlows, Send: send,
		Answer: func(ctx context.Context, question []byte) []byte { return n.Names.Answer(ctx, question, false) },
	}
	pinger := &ping.Pinger{Judge: n.Judge, Flows: n.Flows, Journal: n.Journal, Send: send}
	n.peering = &peering.Server{Judge: n.Judge, Flows: n.Flows}
	n.Link, err = link.New(link.Handlers{
		TCP:     func(request *tcp.ForwarderRequest) { tcpRelay.Handle(n.ctx, request) },
		UDP:     func(from, to netip.AddrPort, payload []byte) { carrier.Handle(n.ctx, from, to, payload) },
		Ping:    pinger.Handle,
		Refused: n.refused,
	}, attempts)
	if err != nil {
		return nil, fmt.Errorf("make the link: %w", err)
	}
	n.peering.Link = n.Link
	if _, err := n.SetPeers(s.Peers); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Numbers of IP protocols that the log has words for.
var protocols = map[byte]policy.Protocol{1: policy.ICMP, 6: policy.TCP, 17: policy.UDP, 58: policy.ICMP}

func (n *Network) refused(protocol byte, target netip.AddrPort, reason string) {
	n.Journal.Add(journal.Record{
		Event: journal.Denied, Protocol: protocols[protocol], Target: target, Verdict: policy.Verdict{Rule: "any policy", Reason: reason},
	})
}

// Attach serves a VMM until its stream ends.
func (n *Network) Attach(stream net.Conn) error {
	n.setAttached(true)
	defer n.setAttached(false)
	return n.Link.Serve(stream)
}

func (n *Network) setAttached(attached bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attached = attached
}

// Attached says whether a VMM is connected.
func (n *Network) Attached() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attached
}

// SetPolicy puts a policy in force, and cuts what it does not allow.
func (n *Network) SetPolicy(words *netdv1.Policy) (generation uint64, cut int, err error) {
	p, err := settings.Policy(words)
	if err != nil {
		return 0, 0, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	generation = n.Judge.Replace(p)
	n.words = words
	n.Journal.EndRepeats()
	return generation, n.Flows.Sweep(), nil
}

// SetSecrets replaces all secrets.
func (n *Network) SetSecrets(words *netdv1.Secrets) error {
	set, err := secrets.Parse(words)
	if err != nil {
		return err
	}
	n.secrets.Store(set)
	return nil
}

// SetPeers puts the VM into a network with others, and cuts connections with those that are not in it.
func (n *Network) SetPeers(words *netdv1.Peers) (cut int, err error) {
	network, err := peers.Parse(words)
	if err != nil {
		return 0, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	path := ""
	if network != nil {
		path = network.Self.Socket
	}
	if err := n.peering.Listen(path); err != nil {
		return 0, fmt.Errorf("listen for the other VMs: %w", err)
	}
	n.Judge.SetPeers(network)
	return n.Flows.Sweep(), nil
}

// Policy in force, in the words that it was given in.
func (n *Network) Policy() (*netdv1.Policy, uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_, generation := n.Judge.Policy()
	return n.words, generation
}

// Check what the policy would do with a connection; other is asked instead of the one in force unless it is nil.
func (n *Network) Check(protocol policy.Protocol, name string, target netip.AddrPort, other *policy.Policy) policy.Verdict {
	p, _ := n.Judge.Policy()
	if other != nil {
		p = other
	}
	q := n.Judge.Question(protocol, target)
	if name != "" {
		q.Names = []string{name}
	}
	return p.Decide(q)
}

// Close ends all connections.
func (n *Network) Close() {
	n.stop()
	n.peering.Listen("")
	n.Link.Close()
}
