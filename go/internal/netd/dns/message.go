package dns

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// Types that dnsmessage has no name for.
const (
	typeSVCB  = dnsmessage.Type(64)
	typeHTTPS = dnsmessage.Type(65)
	typeCAA   = dnsmessage.Type(257)
	typeNAPTR = dnsmessage.Type(35)
	typeSSHFP = dnsmessage.Type(44)
	typeTLSA  = dnsmessage.Type(52)
)

// Names of the types that are passed on in every mode but none.
var knownTypes = map[dnsmessage.Type]string{
	dnsmessage.TypeA: "A", dnsmessage.TypeAAAA: "AAAA", dnsmessage.TypeCNAME: "CNAME", dnsmessage.TypeMX: "MX",
	dnsmessage.TypeTXT: "TXT", dnsmessage.TypeSRV: "SRV", dnsmessage.TypeNS: "NS", dnsmessage.TypeSOA: "SOA",
	dnsmessage.TypePTR: "PTR", typeSVCB: "SVCB", typeHTTPS: "HTTPS", typeCAA: "CAA", typeNAPTR: "NAPTR",
	typeSSHFP: "SSHFP", typeTLSA: "TLSA",
}

func known(t dnsmessage.Type) bool { return knownTypes[t] != "" }

// withheld types carry addresses, and keys to hide the server name with.
func withheld(t dnsmessage.Type) bool { return t == typeSVCB || t == typeHTTPS }

func typeName(t dnsmessage.Type) string {
	if name := knownTypes[t]; name != "" {
		return name
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// query is a question of the guest.
type query struct {
	header   dnsmessage.Header
	question dnsmessage.Question
	// name in normal form.
	name string
	// size of the largest UDP answer, and whether the guest speaks EDNS.
	size   int
	edns   bool
	stream bool
}

// parseQuery takes a message apart. Not ok: it is no query at all.
func parseQuery(message []byte) (*query, dnsmessage.RCode, bool) {
	var p dnsmessage.Parser
	header, err := p.Start(message)
	if err != nil || header.Response {
		return nil, 0, false
	}
	q := &query{header: header, size: 512}
	if header.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, true
	}
	questions, err := p.AllQuestions()
	if err != nil || len(questions) != 1 {
		return q, dnsmessage.RCodeFormatError, true
	}
	q.question = questions[0]
	if q.question.Class != dnsmessage.ClassINET {
		return q, dnsmessage.RCodeRefused, true
	}
	if p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return q, dnsmessage.RCodeFormatError, true
	}
	for {
		extra, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return q, dnsmessage.RCodeSuccess, true
		}
		if err != nil {
			return q, dnsmessage.RCodeFormatError, true
		}
		if extra.Type == dnsmessage.TypeOPT {
			q.edns, q.size = true, max(512, int(extra.Class))
		}
		if p.SkipAdditional() != nil {
			return q, dnsmessage.RCodeFormatError, true
		}
	}
}

// extendedError is option 15 of RFC 8914 with "blocked", code 15.
func extendedError(text string) dnsmessage.Option {
	return dnsmessage.Option{Code: 15, Data: append([]byte{0, 15}, text...)}
}

// replyOwn answers with what is here and nowhere else.
func (q *query) replyOwn(four, six netip.Addr, ttl uint32) []byte {
	own := &answer{}
	header := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	switch q.question.Type {
	case dnsmessage.TypeA:
		own.resources = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: four.As4()}}}
	case dnsmessage.TypeAAAA:
		own.resources = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: six.As16()}}}
	}
	return q.reply(dnsmessage.RCodeSuccess, own, "")
}

// reply builds an answer. Text says why not, to guests that can hear it.
func (q *query) reply(rcode dnsmessage.RCode, a *answer, text string) []byte {
	message, err := q.build(rcode, a, text, false)
	if err != nil {
		if message, err = q.build(dnsmessage.RCodeServerFailure, nil, "", false); err != nil {
			return nil
		}
	}
	if len(message) > q.size && !q.stream || len(message) > 0xffff {
		if message, err = q.build(rcode, nil, "", true); err != nil {
			return nil
		}
	}
	return message
}

func (q *query) build(rcode dnsmessage.RCode, a *answer, text string, truncated bool) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{
		ID: q.header.ID, Response: true, RecursionDesired: q.header.RecursionDesired, RecursionAvailable: true,
		RCode: rcode, Truncated: truncated,
	})
	b.EnableCompression()
	failures := []error{b.StartQuestions()}
	if q.question.Name.Length > 0 {
		failures = append(failures, b.Question(q.question))
	}
	failures = append(failures, b.StartAnswers())
	if a != nil {
		for _, r := range a.resources {
			failures = append(failures, addResource(&b, r))
		}
	}
	failures = append(failures, b.StartAuthorities())
	if a != nil && a.authority != nil {
		failures = append(failures, b.SOAResource(a.authority.Header, *a.authority.Body.(*dnsmessage.SOAResource)))
	}
	failures = append(failures, b.StartAdditionals())
	if q.edns {
		var header dnsmessage.ResourceHeader
		failures = append(failures, header.SetEDNS0(udpSize, rcode, false))
		var options []dnsmessage.Option
		if text != "" {
			options = append(options, extendedError(text))
		}
		failures = append(failures, b.OPTResource(header, dnsmessage.OPTResource{Options: options}))
	}
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	return b.Finish()
}

// reverse returns the address that a name below in-addr.arpa or ip6.arpa stands for.
func reverse(name string) (netip.Addr, bool) {
	if rest, ok := strings.CutSuffix(name, ".in-addr.arpa"); ok {
		labels := strings.Split(rest, ".")
		if len(labels) != 4 {
			return netip.Addr{}, false
		}
		address, err := netip.ParseAddr(labels[3] + "." + labels[2] + "." + labels[1] + "." + labels[0])
		return address, err == nil
	}
	rest, ok := strings.CutSuffix(name, ".ip6.arpa")
	digits := strings.ReplaceAll(rest, ".", "")
	if !ok || len(digits) != 32 || len(rest) != 63 {
		return netip.Addr{}, false
	}
	flipped := []byte(digits)
	for i, j := 0, len(flipped)-1; i < j; i, j = i+1, j-1 {
		flipped[i], flipped[j] = flipped[j], flipped[i]
	}
	raw, err := hex.DecodeString(string(flipped))
	if err != nil {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(raw)), true
}
