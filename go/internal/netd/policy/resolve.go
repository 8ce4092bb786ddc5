package policy

import (
	"net/netip"

	"banger.dev/banger/internal/netd/addresses"
)

// DecideLookup says whether a name may be looked up at all. With mode locked a name that no rule allows is not: a question for it
// would carry data out.
func (p *Policy) DecideLookup(name string) Verdict {
	if p.mode == None {
		return p.refuse("no-network", "")
	}
	for i := range p.deny {
		rule := &p.deny[i]
		if rule.named && rule.Ports == (Ports{}) && rule.Protocol == AnyProtocol && rule.name.Covers(name) {
			return Verdict{Rule: rule.String(), Reason: "deny-rule"}
		}
	}
	for i := range p.allow {
		if rule := &p.allow[i]; rule.named && rule.name.Covers(name) {
			return Verdict{Allowed: true, Rule: rule.String(), ByName: true}
		}
	}
	if p.mode != Locked {
		return Verdict{Allowed: true, Rule: p.modeRule()}
	}
	return p.refuse("no-rule", "--allow "+name)
}

// DecideAnswer says whether an address may be told as an answer for a name: only when something of the policy could let a
// connection to it through. What it keeps from the guest are names that point into the host's networks (rebinding).
func (p *Policy) DecideAnswer(name string, address netip.Addr, at addresses.Block) Verdict {
	switch at.Class {
	case addresses.Public:
		return p.DecideLookup(name)
	case addresses.Invalid, addresses.Multicast, addresses.Loopback:
		return p.refuse(at.Class.String(), "")
	}
	for i := range p.allow {
		rule := &p.allow[i]
		if rule.named && rule.name.Covers(name) && rule.opens(at.Class) ||
			!rule.named && rule.prefix.Contains(address) && rule.within(at) {
			return Verdict{Allowed: true, Rule: rule.String()}
		}
	}
	if p.modeAllows(at.Class) {
		return Verdict{Allowed: true, Rule: p.modeRule()}
	}
	if at.Class == addresses.Private || at.Class == addresses.Shared {
		return p.refuse(at.Class.String(), "--allow "+name+"+private")
	}
	return p.refuse(at.Class.String(), "--allow "+address.String())
}
