// Package dns is the name server of a guest. It asks the host's name servers, tells only what the policy lets it, and binds the
// addresses that it tells to their names.
package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"banger.dev/banger/internal/netd/bindings"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/names"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"golang.org/x/net/dns/dnsmessage"
)

// Server answers questions of one guest. Safe for use by many.
type Server struct {
	Judge    *judge.Judge
	Bindings *bindings.Table
	Journal  *journal.Journal
	Servers  *Servers
	// Slots bounds how many questions wait for an answer.
	Slots chan struct{}
	// Questions is how many there were.
	Questions atomic.Uint64
}

// maxTTL is how long a guest may keep an answer: not longer than it is bound.
const maxTTL = uint32(time.Hour / time.Second)

// A stream may be silent for that long.
const streamIdle = 20 * time.Second

// ServeStream answers questions that come over TCP, one after the other.
func (s *Server) ServeStream(ctx context.Context, stream net.Conn) {
	stop := context.AfterFunc(ctx, func() { stream.Close() })
	defer stop()
	for {
		stream.SetDeadline(time.Now().Add(streamIdle))
		query, err := readPrefixed(stream)
		if err != nil {
			return
		}
		answer := s.Answer(ctx, query, true)
		if answer == nil {
			return
		}
		if _, err := stream.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...)); err != nil {
			return
		}
	}
}

// Answer one message. Nil: it is not worth an answer. It waits for the host's name servers.
func (s *Server) Answer(ctx context.Context, message []byte, stream bool) []byte {
	query, rcode, ok := parseQuery(message)
	if !ok {
		return nil
	}
	query.stream = stream
	s.Questions.Add(1)
	if rcode != dnsmessage.RCodeSuccess {
		return query.reply(rcode, nil, "")
	}
	select {
	case s.Slots <- struct{}{}:
		defer func() { <-s.Slots }()
	default:
		s.deny(query, policy.Verdict{Reason: "limit"})
		return query.reply(dnsmessage.RCodeServerFailure, nil, "")
	}
	return s.resolve(ctx, query)
}

func (s *Server) resolve(ctx context.Context, query *query) []byte {
	name, err := names.Normalize(query.question.Name.String())
	if err != nil {
		query.name = printable(query.question.Name.String())
		return s.refuse(query, policy.Verdict{Reason: "bad-name"})
	}
	query.name = name
	if name == "vm" || strings.HasSuffix(name, ".vm") {
		return s.resolveOwn(query)
	}
	p, _ := s.Judge.Policy()
	verdict := s.decide(p, query)
	if !verdict.Allowed {
		return s.refuse(query, verdict)
	}
	if p.Mode() != policy.Open && withheld(query.question.Type) {
		// Hints of addresses and keys that nothing here could check. There is none, then.
		return query.reply(dnsmessage.RCodeSuccess, nil, "")
	}
	message, err := s.Servers.exchange(ctx, query.question)
	if err != nil {
		s.record(journal.Record{Event: journal.Failed, Verdict: policy.Verdict{Allowed: true, Rule: verdict.Rule, Reason: "resolver"}}, query)
		return query.reply(dnsmessage.RCodeServerFailure, nil, "")
	}
	answer, err := parseAnswer(message, query.question)
	if err != nil {
		return query.reply(dnsmessage.RCodeServerFailure, nil, "")
	}
	return s.filter(p, query, answer, verdict)
}

// Lookup asks the host's name servers for all addresses of a name, for nobody's use but the caller's.
func (s *Server) Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	full, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, kind := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
		question := dnsmessage.Question{Name: full, Type: kind, Class: dnsmessage.ClassINET}
		message, err := s.Servers.exchange(ctx, question)
		if err != nil {
			return nil, err
		}
		answer, err := parseAnswer(message, question)
		if err != nil {
			return nil, err
		}
		for _, r := range answer.resources {
			if address, ok := addressOf(r); ok {
				found = append(found, address)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	return found, nil
}

// decide about the question itself.
func (s *Server) decide(p *policy.Policy, query *query) policy.Verdict {
	verdict := p.DecideLookup(query.name)
	if p.Mode() == policy.None || !verdict.Allowed && query.question.Type != dnsmessage.TypePTR {
		return verdict
	}
	if address, ok := reverse(query.name); ok {
		return s.decideReverse(p, address)
	}
	if !known(query.question.Type) && p.Mode() != policy.Open {
		return policy.Verdict{Rule: "mode " + p.Mode().String(), Reason: "record-type"}
	}
	if query.question.Type == dnsmessage.TypeAXFR || query.question.Type == 251 {
		return policy.Verdict{Rule: "mode " + p.Mode().String(), Reason: "record-type"}
	}
	return verdict
}

// decideReverse lets a guest ask who has an address when it may reach that, or was told it.
func (s *Server) decideReverse(p *policy.Policy, address netip.Addr) policy.Verdict {
	q := s.Judge.Question(policy.ICMP, netip.AddrPortFrom(address, 0))
	if len(q.Names) > 0 {
		return policy.Verdict{Allowed: true, Rule: "mode " + p.Mode().String()}
	}
	return p.Decide(q)
}

// filter takes out of an answer what the guest must not be told.
func (s *Server) filter(p *policy.Policy, query *query, answer *answer, verdict policy.Verdict) []byte {
	for _, target := range answer.aliases {
		if judged := p.DecideLookup(target); judged.Reason == "deny-rule" {
			return s.refuse(query, judged)
		}
	}
	var denied policy.Verdict
	ttl := maxTTL
	answer.resources = slices.DeleteFunc(answer.resources, func(r dnsmessage.Resource) bool {
		address, ok := addressOf(r)
		if !ok {
			return false
		}
		if judged := p.DecideAnswer(query.name, address, s.Judge.Block(address)); !judged.Allowed {
			denied = judged
			return true
		}
		answer.addresses = append(answer.addresses, address)
		ttl = min(ttl, r.Header.TTL)
		return false
	})
	if len(answer.addresses) == 0 && denied.Reason != "" {
		return s.refuse(query, denied)
	}
	s.Bindings.Bind(query.name, answer.addresses, time.Duration(ttl)*time.Second, time.Now())
	texts := make([]string, 0, len(answer.addresses))
	for _, address := range answer.addresses {
		texts = append(texts, address.String())
	}
	s.record(journal.Record{Event: journal.Resolved, Answers: texts, Verdict: verdict}, query)
	return query.reply(answer.rcode, answer, "")
}

// resolveOwn answers for names that exist only here.
func (s *Server) resolveOwn(query *query) []byte {
	p, _ := s.Judge.Policy()
	if four, six, ok := s.Judge.Peers().Lookup(query.name); ok && p.Mode() != policy.None {
		return query.replyOwn(four, six, 5)
	}
	if query.name != plan.HostName || len(p.HostPorts()) == 0 {
		return s.refuse(query, policy.Verdict{Rule: "mode " + p.Mode().String(), Reason: "no-such-vm"})
	}
	return query.replyOwn(plan.Host4, plan.Host6, 60)
}

// refuse says that there is no such name: programs give up on that at once, which they do not on other failures.
func (s *Server) refuse(query *query, verdict policy.Verdict) []byte {
	s.deny(query, verdict)
	text := "banger: " + verdict.Reason
	if verdict.Suggestion != "" {
		text += ": " + verdict.Suggestion
	}
	return query.reply(dnsmessage.RCodeNameError, nil, text)
}

func (s *Server) deny(query *query, verdict policy.Verdict) {
	s.record(journal.Record{Event: journal.Denied, Verdict: verdict}, query)
}

// printable is a name of any bytes as the log may show it.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, strings.TrimSuffix(name, "."))
}

func (s *Server) record(r journal.Record, query *query) {
	r.DNS, r.Name, r.NameSource = true, query.name, "dns"
	r.Question = typeName(query.question.Type)
	s.Journal.Add(r)
}
