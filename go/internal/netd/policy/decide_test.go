package policy_test

import (
	"net/netip"
	"strings"
	"testing"

	"banger.dev/banger/internal/netd/addresses"
	"banger.dev/banger/internal/netd/policy"
)

// rules from words as a user writes them, as far as tests need it: "allow target", "deny target", then ports, protocol, private.
func build(t testing.TB, mode policy.Mode, words ...string) *policy.Policy {
	t.Helper()
	var rules []policy.Rule
	for _, word := range words {
		fields := strings.Fields(word)
		rule := policy.Rule{Deny: fields[0] == "deny"}
		for _, more := range fields[2:] {
			switch more {
			case "tcp":
				rule.Protocol = policy.TCP
			case "udp":
				rule.Protocol = policy.UDP
			case "icmp":
				rule.Protocol = policy.ICMP
			case "private":
				rule.Private = true
			case "443":
				rule.Ports = policy.Ports{First: 443}
			case "8000-9000":
				rule.Ports = policy.Ports{First: 8000, Last: 9000}
			}
		}
		made, err := policy.NewRule(fields[1], rule)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, made)
	}
	p, err := policy.New(mode, rules, []uint16{5432})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func ask(target string, names ...string) policy.Question {
	q := policy.Question{Protocol: policy.TCP, Names: names}
	if rest, ok := strings.CutSuffix(target, "/udp"); ok {
		q.Protocol, target = policy.UDP, rest
	}
	if rest, ok := strings.CutSuffix(target, "/icmp"); ok {
		q.Protocol, target = policy.ICMP, rest+":0"
	}
	to := netip.MustParseAddrPort(target)
	q.Address, q.Port, q.At = to.Addr(), to.Port(), addresses.Classify(to.Addr())
	if to.Addr() == netip.MustParseAddr("192.168.77.7") {
		q.At = addresses.Block{Class: addresses.Own, Prefix: netip.PrefixFrom(to.Addr(), 32)}
	}
	return q
}

func TestDecide(t *testing.T) {
	const public, private, own = "93.184.216.34:443", "10.1.2.3:443", "192.168.77.7:443"
	named := ask(public, "a.example.com")
	for _, c := range []struct {
		policy *policy.Policy
		q      policy.Question
		want   string
	}{
		{build(t, policy.None, "allow 93.184.216.34"), ask(public), "no-network | mode none | "},
		{build(t, policy.Open), ask(public), "ok | mode open"},
		{build(t, policy.Open), ask(private), "ok | mode open"},
		{build(t, policy.Open), ask("100.64.0.1:1"), "ok | mode open"},
		{build(t, policy.Open), ask(own), "own | mode open | --allow 192.168.77.7:443"},
		{build(t, policy.Open), ask("169.254.169.254:80"), "metadata | mode open | --allow 169.254.169.254:80"},
		{build(t, policy.Open), ask("169.254.1.1:80"), "link-local | mode open | --allow 169.254.1.1:80"},
		{build(t, policy.Open), ask("224.0.0.1:80/udp"), "multicast | mode open | "},
		{build(t, policy.Open), ask("127.0.0.1:80"), "loopback | mode open | --allow-host 80"},
		{build(t, policy.Open), ask("127.0.0.1:80/udp"), "loopback | mode open | "},
		{build(t, policy.Open), ask("[::ffff:1.2.3.4]:80"), "invalid | mode open | "},
		{build(t, policy.Open, "deny 93.184.216.0/24"), ask(public), "deny-rule | deny 93.184.216.0/24 | "},
		{build(t, policy.Open, "deny 93.184.216.0/24 443"), ask("93.184.216.34:80"), "ok | mode open"},
		{build(t, policy.Open, "deny 93.184.216.0/24 udp"), ask(public), "ok | mode open"},
		{build(t, policy.Open, "deny *.example.com"), named, "deny-rule | deny *.example.com | "},
		{build(t, policy.Open, "deny *.example.com", "allow a.example.com"), named, "deny-rule | deny *.example.com | "},
		{build(t, policy.Open, "deny 93.184.216.34", "allow 93.184.216.34"), ask(public), "deny-rule | deny 93.184.216.34 | "},
		{build(t, policy.Balanced), ask(public), "ok | mode balanced"},
		{build(t, policy.Balanced), ask(private), "private | mode balanced | --allow 10.1.2.3:443"},
		{build(t, policy.Balanced), ask(private, "db.corp"), "private | mode balanced | --allow db.corp:443+private"},
		{build(t, policy.Balanced), ask("100.64.0.1:80"), "shared | mode balanced | --allow 100.64.0.1:80"},
		{build(t, policy.Balanced), ask("93.184.216.34/icmp"), "ok | mode balanced"},
		{build(t, policy.Balanced), ask("10.1.2.3/icmp"), "private | mode balanced | --allow 10.1.2.3/icmp"},
		{build(t, policy.Balanced), ask("[fd00::1]:53/udp"), "private | mode balanced | --allow [fd00::1]:53/udp"},
		{build(t, policy.Balanced, "allow 10.0.0.0/8"), ask(private), "ok | allow 10.0.0.0/8"},
		{build(t, policy.Balanced, "allow 10.0.0.0/7"), ask(private), "private | mode balanced | --allow 10.1.2.3:443"},
		{build(t, policy.Balanced, "allow 0.0.0.0/0"), ask(private), "private | mode balanced | --allow 10.1.2.3:443"},
		{build(t, policy.Balanced, "allow 192.168.0.0/16"), ask(own), "own | mode balanced | --allow 192.168.77.7:443"},
		{build(t, policy.Balanced, "allow 192.168.77.7"), ask(own), "ok | allow 192.168.77.7"},
		{build(t, policy.Balanced, "allow 169.254.0.0/16"), ask("169.254.169.254:80"), "metadata | mode balanced | --allow 169.254.169.254:80"},
		{build(t, policy.Balanced, "allow 169.254.169.254"), ask("169.254.169.254:80"), "ok | allow 169.254.169.254"},
		{build(t, policy.Balanced, "allow db.corp"), ask(private, "db.corp"), "private | mode balanced | --allow db.corp:443+private"},
		{build(t, policy.Balanced, "allow db.corp private"), ask(private, "db.corp"), "ok by name | allow db.corp+private"},
		{build(t, policy.Balanced, "allow db.corp private"), ask(own, "db.corp"), "own | mode balanced | --allow 192.168.77.7:443"},
		{build(t, policy.Balanced, "allow db.corp private"), ask("169.254.169.254:80", "db.corp"), "metadata | mode balanced | --allow 169.254.169.254:80"},
		{build(t, policy.Locked), named, "no-rule | mode locked | --allow a.example.com:443"},
		{build(t, policy.Locked), ask("93.184.216.34:443/udp", "a.example.com"), "no-rule | mode locked | --allow a.example.com:443/udp"},
		{build(t, policy.Locked), ask(public), "no-rule | mode locked | --allow 93.184.216.34:443"},
		{build(t, policy.Locked, "allow 0.0.0.0/0 443"), ask(public), "ok | allow 0.0.0.0/0:443"},
		{build(t, policy.Locked, "allow 0.0.0.0/0 443"), ask("93.184.216.34:80"), "no-rule | mode locked | --allow 93.184.216.34:80"},
		{build(t, policy.Locked, "allow 93.184.216.34 8000-9000"), ask("93.184.216.34:8000"), "ok | allow 93.184.216.34:8000-9000"},
		{build(t, policy.Locked, "allow 93.184.216.34 8000-9000"), ask("93.184.216.34:9000"), "ok | allow 93.184.216.34:8000-9000"},
		{build(t, policy.Locked, "allow 93.184.216.34 8000-9000"), ask("93.184.216.34:9001"), "no-rule | mode locked | --allow 93.184.216.34:9001"},
		{build(t, policy.Locked, "allow 93.184.216.34 443"), ask("93.184.216.34/icmp"), "no-rule | mode locked | --allow 93.184.216.34/icmp"},
		{build(t, policy.Locked, "allow 93.184.216.34 icmp"), ask("93.184.216.34/icmp"), "ok | allow 93.184.216.34/icmp"},
		{build(t, policy.Locked, "allow *.example.com"), named, "ok by name | allow *.example.com"},
		{build(t, policy.Locked, "allow *.example.com"), ask(public, "example.com"), "no-rule | mode locked | --allow example.com:443"},
		{build(t, policy.Locked, "allow *.example.com"), ask(public, "aexample.com"), "no-rule | mode locked | --allow aexample.com:443"},
		{build(t, policy.Locked, "allow *"), ask(public, "x.y"), "ok by name | allow *"},
		{build(t, policy.Locked, "allow *"), ask(public), "no-rule | mode locked | --allow 93.184.216.34:443"},
		{build(t, policy.Locked, "allow a.example.com", "allow 93.184.216.34"), named, "ok | allow 93.184.216.34"},
		{build(t, policy.Locked, "allow a.example.com", "deny 93.184.216.34"), named, "deny-rule | deny 93.184.216.34 | "},
		{build(t, policy.Locked, "allow a.example.com"), ask(public, "cdn.other", "a.example.com"), "ok by name | allow a.example.com"},
	} {
		if got := text(c.policy.Decide(c.q)); got != c.want {
			t.Errorf("%+v:\n got %s\nwant %s", c.q, got, c.want)
		}
	}
}

func text(v policy.Verdict) string {
	switch {
	case v.ByName:
		return "ok by name | " + v.Rule
	case v.Allowed:
		return "ok | " + v.Rule
	}
	return v.Reason + " | " + v.Rule + " | " + v.Suggestion
}

func TestDecideNameThatAClientSays(t *testing.T) {
	const public = "93.184.216.34:443"
	q := ask(public, "a.example.com")
	for _, c := range []struct {
		policy *policy.Policy
		said   string
		want   string
	}{
		{build(t, policy.Locked, "allow a.example.com"), "a.example.com", "ok by name | allow a.example.com"},
		{build(t, policy.Locked, "allow a.example.com"), "b.example.com", "name-mismatch | mode locked | --allow b.example.com:443"},
		{build(t, policy.Locked, "allow *.example.com"), "b.example.com", "ok by name | allow *.example.com"},
		{build(t, policy.Locked, "allow *.example.com", "deny b.example.com"), "b.example.com", "deny-rule | deny b.example.com | "},
		{build(t, policy.Locked, "allow 93.184.216.34"), "b.example.com", "ok | allow 93.184.216.34"},
		{build(t, policy.Balanced), "b.example.com", "ok | mode balanced"},
		{build(t, policy.Balanced, "deny b.example.com"), "b.example.com", "deny-rule | deny b.example.com | "},
	} {
		if got := text(c.policy.DecideName(q, c.said, c.policy.Decide(q))); got != c.want {
			t.Errorf("%s said: got %s, want %s", c.said, got, c.want)
		}
	}
}

func TestDecideLookupsAndAnswers(t *testing.T) {
	locked := build(t, policy.Locked, "allow a.example.com 443", "allow corp.example private", "deny b.example.com 443", "allow 10.0.0.0/8")
	balanced := build(t, policy.Balanced, "deny *.bad.example", "deny half.example 443")
	for _, c := range []struct {
		policy *policy.Policy
		name   string
		want   bool
	}{
		{locked, "a.example.com", true}, {locked, "b.example.com", false}, {locked, "c.a.example.com", false}, {balanced, "anything.example", true},
		{balanced, "x.bad.example", false}, {balanced, "half.example", true}, {build(t, policy.None, "allow *"), "a.example.com", false},
	} {
		if got := c.policy.DecideLookup(c.name); got.Allowed != c.want {
			t.Errorf("look up %s: %s", c.name, text(got))
		}
	}
	for _, c := range []struct {
		policy        *policy.Policy
		name, address string
		want          bool
	}{
		{balanced, "x.example", "93.184.216.34", true}, {balanced, "x.example", "10.0.0.1", false}, {balanced, "x.example", "169.254.169.254", false},
		{balanced, "x.example", "127.0.0.1", false}, {balanced, "x.example", "::ffff:1.2.3.4", false}, {locked, "corp.example", "10.0.0.1", true},
		{locked, "corp.example", "192.168.0.1", true}, {locked, "a.example.com", "10.0.0.1", true}, {locked, "a.example.com", "192.168.0.1", false},
		{locked, "corp.example", "169.254.169.254", false}, {build(t, policy.Open), "x.example", "10.0.0.1", true},
	} {
		address := netip.MustParseAddr(c.address)
		if got := c.policy.DecideAnswer(c.name, address, addresses.Classify(address)); got.Allowed != c.want {
			t.Errorf("%s is %s: %s", c.name, c.address, text(got))
		}
	}
	if v := locked.DecideHostPort(5432); !v.Allowed || v.Rule != "allow-host 5432" {
		t.Error(v)
	}
	if v := locked.DecideHostPort(5433); v.Allowed || v.Suggestion != "--allow-host 5433" {
		t.Error(v)
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, target := range []string{
		"", ".", "a..b", "*", "a.*.b", "*.*", "**.a", "-", "10.0.0.1/8", "10.0.0.1/33", "1.2.3", "0x7f.1", "2130706433", "fe80::1%eth0", "a b", "ä.example",
		"a.example/24", "127.0.0.1", "127.0.0.0/8", "::1", "::ffff:1.2.3.4", "224.0.0.1", "ff02::1", "0.0.0.0", strings.Repeat("a", 64) + ".b",
	} {
		_, err := policy.NewRule(target, policy.Rule{})
		if allowed := target == "*" || target == "-"; (err == nil) != allowed {
			t.Errorf("%q: %v", target, err)
		}
	}
	for _, rule := range []policy.Rule{{Ports: policy.Ports{First: 5, Last: 4}}, {Ports: policy.Ports{Last: 4}}, {Protocol: policy.ICMP, Ports: policy.Ports{First: 1}}} {
		if _, err := policy.NewRule("a.example", rule); err == nil {
			t.Errorf("%+v was taken", rule)
		}
	}
	if _, err := policy.NewRule("10.0.0.1", policy.Rule{Private: true}); err == nil {
		t.Error("private addresses of an address")
	}
}

// What holds for every rule and question: a deny rule that matches is never overruled, more allow rules never deny, and no rule opens
// what cannot be opened.
func FuzzDecide(f *testing.F) {
	f.Add("10.0.0.0/8", "10.1.2.3", "a.example", uint16(443), byte(2), byte(1), false)
	f.Add("*.example", "93.184.216.34", "a.example", uint16(80), byte(3), byte(2), true)
	f.Add("::/0", "::1", "", uint16(0), byte(1), byte(3), false)
	f.Fuzz(func(t *testing.T, target, address, name string, port uint16, mode, protocol byte, private bool) {
		to, err := netip.ParseAddr(address)
		if err != nil {
			return
		}
		q := policy.Question{Protocol: policy.Protocol(protocol%3 + 1), Address: to, Port: port, At: addresses.Classify(to), Names: []string{name}}
		bare, err := policy.New(policy.Mode(mode%4), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		rule, err := policy.NewRule(target, policy.Rule{Private: private})
		if err != nil {
			return
		}
		with, err := policy.New(policy.Mode(mode%4), []policy.Rule{rule}, nil)
		if err != nil {
			t.Fatal(err)
		}
		before, after := bare.Decide(q), with.Decide(q)
		if before.Allowed && !after.Allowed {
			t.Errorf("%s takes away %v", rule, q)
		}
		switch q.At.Class {
		case addresses.Loopback, addresses.Invalid, addresses.Multicast:
			if after.Allowed {
				t.Errorf("%s opens %v", rule, q)
			}
		}
		deny := rule
		deny.Deny = true
		both, err := policy.New(policy.Mode(mode%4), []policy.Rule{rule, deny}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if after.Allowed && strings.HasPrefix(after.Rule, "allow ") && both.Decide(q).Allowed {
			t.Errorf("%s is overruled for %v", deny, q)
		}
		if after.Suggestion != "" && after.Allowed {
			t.Errorf("%v is allowed with a suggestion", q)
		}
	})
}
