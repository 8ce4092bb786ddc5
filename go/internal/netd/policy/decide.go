package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"banger.dev/banger/internal/netd/addresses"
)

// Question is a connection that a guest wants.
type Question struct {
	Protocol Protocol
	Address  netip.Addr
	// Port of the destination; 0 for ICMP.
	Port uint16
	// At is the block of the address: addresses.Classify, or a block of class Own with the address alone.
	At addresses.Block
	// Names that this guest was told the address for, and that are still good. Normalized.
	Names []string
}

// Verdict is the answer to a question.
type Verdict struct {
	Allowed bool
	// Rule that decided, as a user writes it, or the mode ("mode balanced").
	Rule string
	// Reason is one word of the list in notes/network.md. Empty when allowed.
	Reason string
	// Suggestion is the flag that would allow it. Empty when allowed and when nothing would.
	Suggestion string
	// ByName: it is allowed for the sake of a name alone. What the client says about the name must be checked.
	ByName bool
}

// Decide answers a question about an address outside of the guest's link.
func (p *Policy) Decide(q Question) Verdict {
	if p.mode == None {
		return p.refuse("no-network", "")
	}
	switch q.At.Class {
	case addresses.Invalid, addresses.Multicast:
		return p.refuse(q.At.Class.String(), "")
	case addresses.Loopback:
		if q.Protocol == TCP {
			return p.refuse("loopback", fmt.Sprintf("--allow-host %d", q.Port))
		}
		return p.refuse("loopback", "")
	}
	for i := range p.deny {
		if rule := &p.deny[i]; rule.covers(q.Protocol, q.Port) && rule.isAbout(q) {
			return Verdict{Rule: rule.String(), Reason: "deny-rule"}
		}
	}
	for i := range p.allow {
		rule := &p.allow[i]
		if !rule.named && rule.covers(q.Protocol, q.Port) && rule.prefix.Contains(q.Address) && rule.within(q.At) {
			return Verdict{Allowed: true, Rule: rule.String()}
		}
	}
	if p.modeAllows(q.At.Class) {
		return Verdict{Allowed: true, Rule: p.modeRule()}
	}
	for i := range p.allow {
		rule := &p.allow[i]
		if rule.named && rule.covers(q.Protocol, q.Port) && rule.opens(q.At.Class) && rule.isAbout(q) {
			return Verdict{Allowed: true, Rule: rule.String(), ByName: true}
		}
	}
	if q.At.Class == addresses.Public {
		return p.refuse("no-rule", suggest(q))
	}
	return p.refuse(q.At.Class.String(), suggest(q))
}

// DecideName judges a name that the client of a connection says (TLS, HTTP), when the connection as such is allowed by `allowed`.
func (p *Policy) DecideName(q Question, name string, allowed Verdict) Verdict {
	for i := range p.deny {
		if rule := &p.deny[i]; rule.named && rule.covers(q.Protocol, q.Port) && rule.name.Covers(name) {
			return Verdict{Rule: rule.String(), Reason: "deny-rule"}
		}
	}
	if !allowed.ByName {
		return allowed
	}
	for i := range p.allow {
		rule := &p.allow[i]
		if rule.named && rule.covers(q.Protocol, q.Port) && rule.opens(q.At.Class) && rule.name.Covers(name) {
			return Verdict{Allowed: true, Rule: rule.String(), ByName: true}
		}
	}
	q.Names = []string{name}
	return p.refuse("name-mismatch", suggest(q))
}

// NamesMatter says whether names that clients say have to be looked at although the address alone was allowed.
func (p *Policy) NamesMatter() bool { return p.denyNames }

// DecidePeer judges a connection between this VM and another of the network that both are in.
func (p *Policy) DecidePeer(q Question, network string) Verdict {
	if p.mode == None {
		return p.refuse("no-network", "")
	}
	for i := range p.deny {
		if rule := &p.deny[i]; rule.covers(q.Protocol, q.Port) && rule.isAbout(q) {
			return Verdict{Rule: rule.String(), Reason: "deny-rule"}
		}
	}
	return Verdict{Allowed: true, Rule: "network " + network}
}

// DecideHostPort judges a TCP connection to host.vm.
func (p *Policy) DecideHostPort(port uint16) Verdict {
	suggestion := fmt.Sprintf("--allow-host %d", port)
	switch {
	case p.mode == None:
		return p.refuse("no-network", "")
	case slices.Contains(p.hostPorts, port):
		return Verdict{Allowed: true, Rule: fmt.Sprintf("allow-host %d", port)}
	}
	return p.refuse("host-port", suggestion)
}

func (p *Policy) refuse(reason, suggestion string) Verdict {
	return Verdict{Rule: p.modeRule(), Reason: reason, Suggestion: suggestion}
}

func (p *Policy) modeRule() string { return "mode " + p.mode.String() }

func (p *Policy) modeAllows(class addresses.Class) bool {
	switch class {
	case addresses.Public:
		return p.mode == Open || p.mode == Balanced
	case addresses.Private, addresses.Shared:
		return p.mode == Open
	}
	return false
}

// isAbout says whether the rule's target is the address or one of the names.
func (r *Rule) isAbout(q Question) bool {
	if !r.named {
		return r.prefix.Contains(q.Address)
	}
	return slices.ContainsFunc(q.Names, r.name.Covers)
}

// opens says whether a rule for a name covers addresses of a class.
func (r *Rule) opens(class addresses.Class) bool {
	return class == addresses.Public || r.Private && (class == addresses.Private || class == addresses.Shared)
}

// suggest is the narrowest flag that would allow what was asked for.
func suggest(q Question) string {
	rule := Rule{Protocol: q.Protocol, Ports: Ports{q.Port, q.Port}}
	switch q.Protocol {
	case TCP:
		rule.Protocol = AnyProtocol
	case ICMP:
		rule.Ports = Ports{}
	}
	nameable := q.At.Class == addresses.Public || q.At.Class == addresses.Private || q.At.Class == addresses.Shared
	if len(q.Names) > 0 && nameable {
		rule.Private = q.At.Class != addresses.Public
		return "--allow " + q.Names[0] + rule.suffix()
	}
	rule.prefix = netip.PrefixFrom(q.Address, q.Address.BitLen())
	return "--allow " + rule.String()[len("allow "):]
}
