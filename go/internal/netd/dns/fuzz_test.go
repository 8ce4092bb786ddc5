package dns

import (
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func seed(f *testing.F) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 1})
	b.StartQuestions()
	b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET})
	b.StartAdditionals()
	var header dnsmessage.ResourceHeader
	header.SetEDNS0(4096, 0, false)
	b.OPTResource(header, dnsmessage.OPTResource{})
	message, err := b.Finish()
	if err != nil {
		f.Fatal(err)
	}
	return message
}

// A question of the guest: whatever it is, an answer to it can be read and is not longer than the guest said.
func FuzzQuery(f *testing.F) {
	f.Add(seed(f))
	f.Add(seed(f)[:20])
	f.Fuzz(func(t *testing.T, message []byte) {
		q, rcode, ok := parseQuery(message)
		if !ok {
			return
		}
		for _, a := range []*answer{nil, {resources: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.TXTResource{TXT: []string{string(make([]byte, 255)), string(make([]byte, 255)), string(make([]byte, 255))}},
		}}}} {
			reply := q.reply(rcode, a, "why")
			if len(reply) > q.size && a != nil {
				t.Fatalf("%d bytes for a guest that takes %d", len(reply), q.size)
			}
			var p dnsmessage.Message
			if err := p.Unpack(reply); err != nil || p.ID != q.header.ID {
				t.Fatalf("%x: %v", reply, err)
			}
		}
	})
}

// An answer of a name server, which an attacker can write: what is kept belongs to the question.
func FuzzAnswer(f *testing.F) {
	q := dnsmessage.Question{Name: dnsmessage.MustNewName("a.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 1, Response: true})
	b.EnableCompression()
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	alias := dnsmessage.MustNewName("b.example.")
	b.CNAMEResource(dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: 1 << 30}, dnsmessage.CNAMEResource{CNAME: alias})
	b.AResource(dnsmessage.ResourceHeader{Name: alias, Class: dnsmessage.ClassINET, TTL: 1}, dnsmessage.AResource{A: [4]byte{1, 2, 3, 4}})
	b.AResource(dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("c.example."), Class: dnsmessage.ClassINET, TTL: 1}, dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}})
	message, err := b.Finish()
	if err != nil {
		f.Fatal(err)
	}
	if a, err := parseAnswer(message, q); err != nil || len(a.resources) != 2 || a.aliases[0] != "b.example" || a.resources[0].Header.TTL != maxTTL {
		f.Fatalf("%+v, %v", a, err)
	}
	f.Add(message)
	f.Add(message[:30])
	f.Fuzz(func(t *testing.T, message []byte) {
		a, err := parseAnswer(message, q)
		if err != nil {
			return
		}
		query := &query{question: q, size: 512, stream: true}
		if reply := query.reply(a.rcode, a, ""); len(reply) > 0xffff {
			t.Fatalf("%d bytes", len(reply))
		}
	})
}

func TestResolvConf(t *testing.T) {
	got := parseResolvConf("# x\nsearch a\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver\nnameserver 8.8.8.8\nnameserver 1.1.1.1\n")
	want := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.53:53"), netip.MustParseAddrPort("[fe80::1%eth0]:53"), netip.MustParseAddrPort("8.8.8.8:53")}
	if len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v", got)
	}
}

func TestReverse(t *testing.T) {
	for name, want := range map[string]string{
		"4.3.2.1.in-addr.arpa": "1.2.3.4", "1.in-addr.arpa": "", "256.1.1.1.in-addr.arpa": "",
		"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa": "2001:db8::1", "x.ip6.arpa": "", "a.example": "",
	} {
		got, ok := reverse(name)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%s: %s, %v", name, got, ok)
		}
	}
}
