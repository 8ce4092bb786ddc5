// Package policy decides what a guest may reach. It is pure: the same question gets the same answer, and nothing here
// looks at the world. notes/network.md holds the semantics.
package policy

import (
	"fmt"
	"slices"
)

// Mode is what holds where no rule says anything.
type Mode uint8

const (
	// None allows nothing, whatever the rules say.
	None Mode = iota
	// Open allows public, private and shared addresses.
	Open
	// Balanced allows public addresses.
	Balanced
	// Locked allows nothing but what a rule allows.
	Locked
)

var modeNames = [...]string{"none", "open", "balanced", "locked"}

func (m Mode) String() string { return modeNames[m] }

// MaxRules bounds a policy.
const MaxRules = 4096

// Policy is immutable.
type Policy struct {
	Name      string
	mode      Mode
	deny      []Rule
	allow     []Rule
	hostPorts []uint16
	// denyNames: there are deny rules for names, so that names have to be looked at also where addresses decide.
	denyNames bool
}

// New makes a policy of rules from NewRule.
func New(mode Mode, rules []Rule, hostPorts []uint16) (*Policy, error) {
	if int(mode) >= len(modeNames) {
		return nil, fmt.Errorf("mode %d is not known", mode)
	}
	if len(rules) > MaxRules || len(hostPorts) > MaxRules {
		return nil, fmt.Errorf("a policy has at most %d rules", MaxRules)
	}
	p := &Policy{mode: mode, hostPorts: slices.Clone(hostPorts)}
	for _, port := range hostPorts {
		if port == 0 {
			return nil, fmt.Errorf("0 is not a port of the host")
		}
	}
	for _, rule := range rules {
		if rule.Deny {
			p.deny = append(p.deny, rule)
			p.denyNames = p.denyNames || rule.named
		} else {
			p.allow = append(p.allow, rule)
		}
	}
	return p, nil
}

// Mode of the policy.
func (p *Policy) Mode() Mode { return p.mode }

// HostPorts are the ports of the host's loopback that are open.
func (p *Policy) HostPorts() []uint16 { return p.hostPorts }
