package netdtest

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/plan"
	"golang.org/x/net/dns/dnsmessage"
)

func fileConn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "pair")
	defer file.Close()
	return net.FileConn(file)
}

// Ask the gateway's name server. The answer's code, and its addresses.
func (g *Guest) Ask(t testing.TB, name string, kind dnsmessage.Type) (dnsmessage.RCode, []netip.Addr) {
	t.Helper()
	message := g.AskRaw(t, Question(t, name, kind))
	var p dnsmessage.Parser
	head, err := p.Start(message)
	if err != nil {
		t.Fatalf("answer about %s: %v", name, err)
	}
	if err := p.SkipAllQuestions(); err != nil {
		t.Fatal(err)
	}
	answers, err := p.AllAnswers()
	if err != nil {
		t.Fatal(err)
	}
	var found []netip.Addr
	for _, r := range answers {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			found = append(found, netip.AddrFrom4(body.A))
		case *dnsmessage.AAAAResource:
			found = append(found, netip.AddrFrom16(body.AAAA))
		}
	}
	return head.RCode, found
}

// Question is a query message.
func Question(t testing.TB, name string, kind dnsmessage.Type) []byte {
	t.Helper()
	full, err := dnsmessage.NewName(name + ".")
	if err != nil {
		t.Fatal(err)
	}
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
	b.StartQuestions()
	b.Question(dnsmessage.Question{Name: full, Type: kind, Class: dnsmessage.ClassINET})
	message, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// AskRaw sends a message to the gateway's name server and returns the answer.
func (g *Guest) AskRaw(t testing.TB, message []byte) []byte {
	t.Helper()
	socket, err := g.UDP(netip.AddrPortFrom(plan.Gateway4, 53))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if _, err := socket.Write(message); err != nil {
		t.Fatal(err)
	}
	socket.SetReadDeadline(time.Now().Add(20 * time.Second))
	answer := make([]byte, 64<<10)
	n, err := socket.Read(answer)
	if err != nil {
		t.Fatalf("wait for an answer of the name server: %v", err)
	}
	return answer[:n]
}
