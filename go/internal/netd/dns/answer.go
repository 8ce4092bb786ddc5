package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// maxRecords of an answer are looked at.
const maxRecords = 256

// answer of a name server, reduced to what belongs to the question.
type answer struct {
	rcode     dnsmessage.RCode
	resources []dnsmessage.Resource
	// aliases are the names that the name stands for, in normal form.
	aliases   []string
	addresses []netip.Addr
	// authority says how long a "no" is good.
	authority *dnsmessage.Resource
}

// parseAnswer follows the aliases from the question on, and keeps records that belong to them only.
func parseAnswer(message []byte, q dnsmessage.Question) (*answer, error) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil {
		return nil, err
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, err
	}
	a := &answer{rcode: header.RCode}
	if header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError {
		a.rcode = dnsmessage.RCodeServerFailure
		return a, nil
	}
	about := map[string]bool{lower(q.Name): true}
	for range maxRecords {
		r, err := p.Answer()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return nil, err
		}
		a.take(r, q, about)
	}
	if p.SkipAllAnswers() != nil {
		return a, nil
	}
	for range maxRecords {
		r, err := p.Authority()
		if err != nil {
			break
		}
		if _, ok := r.Body.(*dnsmessage.SOAResource); ok && a.authority == nil {
			r.Header.TTL = min(r.Header.TTL, maxTTL)
			a.authority = &r
		}
	}
	return a, nil
}

func (a *answer) take(r dnsmessage.Resource, q dnsmessage.Question, about map[string]bool) {
	if r.Header.Class != dnsmessage.ClassINET || !about[lower(r.Header.Name)] {
		return
	}
	r.Header.TTL = min(r.Header.TTL, maxTTL)
	if alias, ok := r.Body.(*dnsmessage.CNAMEResource); ok {
		about[lower(alias.CNAME)] = true
		a.aliases = append(a.aliases, strings.TrimSuffix(lower(alias.CNAME), "."))
		a.resources = append(a.resources, r)
		return
	}
	if r.Header.Type == q.Type || q.Type == dnsmessage.TypeALL {
		a.resources = append(a.resources, r)
	}
}

func lower(name dnsmessage.Name) string { return strings.ToLower(name.String()) }

func addressOf(r dnsmessage.Resource) (netip.Addr, bool) {
	switch body := r.Body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(body.A), true
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(body.AAAA), true
	}
	return netip.Addr{}, false
}

func addResource(b *dnsmessage.Builder, r dnsmessage.Resource) error {
	switch body := r.Body.(type) {
	case *dnsmessage.AResource:
		return b.AResource(r.Header, *body)
	case *dnsmessage.AAAAResource:
		return b.AAAAResource(r.Header, *body)
	case *dnsmessage.CNAMEResource:
		return b.CNAMEResource(r.Header, *body)
	case *dnsmessage.MXResource:
		return b.MXResource(r.Header, *body)
	case *dnsmessage.TXTResource:
		return b.TXTResource(r.Header, *body)
	case *dnsmessage.SRVResource:
		return b.SRVResource(r.Header, *body)
	case *dnsmessage.NSResource:
		return b.NSResource(r.Header, *body)
	case *dnsmessage.SOAResource:
		return b.SOAResource(r.Header, *body)
	case *dnsmessage.PTRResource:
		return b.PTRResource(r.Header, *body)
	case *dnsmessage.UnknownResource:
		return b.UnknownResource(r.Header, *body)
	}
	return fmt.Errorf("records of type %s cannot be passed on", r.Header.Type)
}
