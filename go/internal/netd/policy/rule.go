package policy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"banger.dev/banger/internal/netd/addresses"
	"banger.dev/banger/internal/netd/names"
)

// Protocol of a connection; AnyProtocol is for rules.
type Protocol uint8

const (
	AnyProtocol Protocol = iota
	TCP
	UDP
	ICMP
)

var protocolNames = [...]string{"", "tcp", "udp", "icmp"}

func (p Protocol) String() string { return protocolNames[p] }

// Ports is a range with both ends. The zero value is every port.
type Ports struct{ First, Last uint16 }

func (p Ports) cover(port uint16) bool {
	return p == Ports{} || p.First <= port && port <= p.Last
}

// Rule is one line of a policy, understood.
type Rule struct {
	Deny     bool
	Ports    Ports
	Protocol Protocol
	// Private opens private and shared addresses of a name, too.
	Private bool

	named  bool
	name   names.Pattern
	prefix netip.Prefix
}

// NewRule reads the target of a rule: a name, a pattern, an address or a range.
func NewRule(target string, rule Rule) (Rule, error) {
	if rule.Ports.Last == 0 {
		rule.Ports.Last = rule.Ports.First
	}
	if rule.Ports.First > rule.Ports.Last || rule.Ports.First == 0 && rule.Ports.Last != 0 {
		return Rule{}, fmt.Errorf("rule for %q: ports %d to %d are not a range", target, rule.Ports.First, rule.Ports.Last)
	}
	if rule.Protocol == ICMP && rule.Ports != (Ports{}) {
		return Rule{}, fmt.Errorf("rule for %q: icmp has no ports", target)
	}
	prefix, isAddress, err := parsePrefix(target)
	if err != nil {
		return Rule{}, err
	}
	if isAddress {
		if rule.Private {
			return Rule{}, fmt.Errorf("rule for %q: only a rule for a name needs to say that private addresses are meant", target)
		}
		rule.prefix = prefix
		return rule, rule.checkClass(target)
	}
	if rule.name, err = names.ParsePattern(target); err != nil {
		return Rule{}, fmt.Errorf("rule for %q: %w", target, err)
	}
	rule.named = true
	return rule, nil
}

// checkClass refuses allow rules that could never do anything.
func (r *Rule) checkClass(target string) error {
	if r.Deny {
		return nil
	}
	at := addresses.Classify(r.prefix.Addr())
	if !r.within(at) {
		return nil
	}
	switch at.Class {
	case addresses.Loopback:
		return fmt.Errorf("rule for %q: the loopback of the host is opened port by port (host ports), not by address", target)
	case addresses.Multicast, addresses.Invalid:
		return fmt.Errorf("rule for %q: %s addresses cannot be opened", target, at.Class)
	}
	return nil
}

func parsePrefix(target string) (netip.Prefix, bool, error) {
	if address, err := netip.ParseAddr(target); err == nil {
		if address.Zone() != "" {
			return netip.Prefix{}, false, fmt.Errorf("rule for %q: addresses with a zone cannot be used", target)
		}
		return netip.PrefixFrom(address, address.BitLen()), true, nil
	}
	if !strings.Contains(target, "/") {
		return netip.Prefix{}, false, nil
	}
	prefix, err := netip.ParsePrefix(target)
	if err != nil {
		return netip.Prefix{}, false, fmt.Errorf("rule for %q: not a range of addresses", target)
	}
	if prefix != prefix.Masked() {
		return netip.Prefix{}, false, fmt.Errorf("rule for %q: the range is %s", target, prefix.Masked())
	}
	return prefix, true, nil
}

// within says whether the rule's range lies in the block: a range opens only the kinds of addresses that it lies within, so that 0.0.0.0/0
// does not open a company's network.
func (r *Rule) within(at addresses.Block) bool {
	return at.Class == addresses.Public || r.prefix.Bits() >= at.Prefix.Bits() && at.Prefix.Contains(r.prefix.Addr())
}

func (r *Rule) covers(protocol Protocol, port uint16) bool {
	if r.Protocol != AnyProtocol && r.Protocol != protocol {
		return false
	}
	// A rule with ports says nothing about a protocol that has none.
	return protocol == ICMP && r.Ports == (Ports{}) || protocol != ICMP && r.Ports.cover(port)
}

// String is what a user writes: action target[:ports][/protocol][+private].
func (r Rule) String() string {
	target := r.name.String()
	if !r.named {
		target = r.prefix.String()
		if r.prefix.IsSingleIP() {
			target = r.prefix.Addr().String()
		}
		if r.prefix.Addr().Is6() && r.Ports != (Ports{}) {
			target = "[" + target + "]"
		}
	}
	action := "allow "
	if r.Deny {
		action = "deny "
	}
	return action + target + r.suffix()
}

func (r Rule) suffix() string {
	var b strings.Builder
	switch {
	case r.Ports.First != r.Ports.Last:
		fmt.Fprintf(&b, ":%d-%d", r.Ports.First, r.Ports.Last)
	case r.Ports.First != 0:
		b.WriteString(":" + strconv.Itoa(int(r.Ports.First)))
	}
	if r.Protocol != AnyProtocol {
		b.WriteString("/" + r.Protocol.String())
	}
	if r.Private {
		b.WriteString("+private")
	}
	return b.String()
}
