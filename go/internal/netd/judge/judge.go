// Package judge asks the policy in force, with what is known at this moment: what kind of address it is on this host, and which
// names the guest was told for it.
package judge

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"banger.dev/banger/internal/netd/addresses"
	"banger.dev/banger/internal/netd/bindings"
	"banger.dev/banger/internal/netd/peers"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
)

// Judge is safe for use by many.
type Judge struct {
	peers atomic.Pointer[peers.Network]

	mu         sync.RWMutex
	policy     *policy.Policy
	generation uint64

	bindings *bindings.Table
	// isOwn says whether an address is the host's own.
	isOwn func(netip.Addr) bool
}

// New judges by a first policy, generation 1.
func New(first *policy.Policy, table *bindings.Table, isOwn func(netip.Addr) bool) *Judge {
	return &Judge{policy: first, generation: 1, bindings: table, isOwn: isOwn}
}

// Replace puts another policy in force.
func (j *Judge) Replace(p *policy.Policy) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.policy = p
	j.generation++
	return j.generation
}

// Policy that is in force, and its generation.
func (j *Judge) Policy() (*policy.Policy, uint64) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.policy, j.generation
}

// Question about a connection, with all that is known now.
func (j *Judge) Question(protocol policy.Protocol, target netip.AddrPort) policy.Question {
	address := target.Addr()
	if peer, ok := j.Peers().Other(address); ok {
		return policy.Question{Protocol: protocol, Address: address, Port: target.Port(), Names: []string{peer.Name}}
	}
	return policy.Question{
		Protocol: protocol,
		Address:  address,
		Port:     target.Port(),
		At:       j.Block(address),
		Names:    j.bindings.Names(address, time.Now()),
	}
}

// Decide by the policy in force.
func (j *Judge) Decide(q policy.Question) policy.Verdict {
	p, _ := j.Policy()
	if network := j.Peers(); network != nil {
		if peer, ok := network.Other(q.Address); ok {
			// It is one VM: what a rule says of one of its addresses holds for both.
			for _, q.Address = range []netip.Addr{peer.Address, peer.Address6} {
				if verdict := p.DecidePeer(q, network.Name); !verdict.Allowed {
					return verdict
				}
			}
			return p.DecidePeer(q, network.Name)
		}
	}
	return p.Decide(q)
}

// SetPeers puts the VM into a network with others; nil: into none.
func (j *Judge) SetPeers(network *peers.Network) { j.peers.Store(network) }

// Peers is the network with others; nil: none.
func (j *Judge) Peers() *peers.Network { return j.peers.Load() }

// Again judges a connection that was allowed, after the policy or the addresses of the host have changed. Said is the name that its
// client said; empty: none.
func (j *Judge) Again(q policy.Question, said string) policy.Verdict {
	p, _ := j.Policy()
	if plan.Host(q.Address) {
		return p.DecideHostPort(q.Port)
	}
	q.At = j.Block(q.Address)
	verdict := j.Decide(q)
	if verdict.Allowed && said != "" {
		return p.DecideName(q, said, verdict)
	}
	return verdict
}

// Block of an address, on this host.
func (j *Judge) Block(address netip.Addr) addresses.Block {
	if plan.OnLink(address) || plan.Peer(address) {
		return addresses.Block{Class: addresses.Invalid, Prefix: netip.PrefixFrom(address, address.BitLen())}
	}
	at := addresses.Classify(address)
	switch at.Class {
	case addresses.Invalid, addresses.Multicast, addresses.Loopback, addresses.Metadata:
		return at
	}
	own := j.isOwn(address)
	if inner, ok := addresses.Embedded(address); ok && !own {
		own = j.isOwn(inner)
	}
	if own {
		return addresses.Block{Class: addresses.Own, Prefix: netip.PrefixFrom(address, address.BitLen())}
	}
	return at
}
