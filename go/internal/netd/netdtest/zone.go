package netdtest

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// AnswerFrom answers a query from a zone of names (with a dot at their end) and addresses. Nil: it is no query.
func AnswerFrom(zone map[string][]string, query []byte) []byte {
	addresses := map[string][]netip.Addr{}
	for name, texts := range zone {
		addresses[name] = nil
		for _, text := range texts {
			addresses[name] = append(addresses[name], netip.MustParseAddr(text))
		}
	}
	return answerFrom(addresses, query)
}

func asked(query []byte) (string, bool) {
	var p dnsmessage.Parser
	if _, err := p.Start(query); err != nil {
		return "", false
	}
	q, err := p.Question()
	return q.Name.String(), err == nil
}

func answerFrom(zone map[string][]netip.Addr, query []byte) []byte {
	var p dnsmessage.Parser
	head, err := p.Start(query)
	if err != nil {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	addresses, known := zone[strings.ToLower(q.Name.String())]
	head.Response, head.RecursionAvailable = true, true
	if !known {
		head.RCode = dnsmessage.RCodeNameError
	}
	b := dnsmessage.NewBuilder(nil, head)
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	record := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 60}
	for _, address := range addresses {
		switch {
		case q.Type == dnsmessage.TypeA && address.Is4():
			b.AResource(record, dnsmessage.AResource{A: address.As4()})
		case q.Type == dnsmessage.TypeAAAA && address.Is6():
			b.AAAAResource(record, dnsmessage.AAAAResource{AAAA: address.As16()})
		}
	}
	if q.Type == dnsmessage.TypeTXT && known {
		b.TXTResource(record, dnsmessage.TXTResource{TXT: []string{"text"}})
	}
	message, err := b.Finish()
	if err != nil {
		return nil
	}
	return message
}
