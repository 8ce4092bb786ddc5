// Package datagram carries UDP of a guest to where it may go.
package datagram

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/flows"
	"banger.dev/banger/internal/netd/hostnet"
	"banger.dev/banger/internal/netd/journal"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/peering"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/sniff"
	"golang.org/x/sys/unix"
)

const (
	// A flow ends when nothing came or went for so long. One with answers in it is kept longer.
	idle      = 60 * time.Second
	idleAfter = 5 * time.Minute
	// Questions of the name server are small; a guest that sends larger ones sends something else.
	maxQuestion = 4 << 10
	maxDatagram = 64 << 10
)

// Carrier handles the datagrams of one guest.
type Carrier struct {
	Judge   *judge.Judge
	Flows   *flows.Registry
	Journal *journal.Journal
	Host    *hostnet.Host
	// Answer is the name server.
	Answer func(ctx context.Context, question []byte) []byte
	// Send gives the guest an IP packet.
	Send func(packet []byte)
	// MaxFlows that are open at a time.
	MaxFlows int

	mu    sync.Mutex
	flows map[key]*flow
	order *list.List // of *flow, the one that was idle for the longest time first
	asked int
	// opening flows to other VMs.
	opening map[key]bool
}

// maxAsked bounds the goroutines that wait for a place at the name server.
const maxAsked = 512

// socket of a flow.
type socket interface {
	net.Conn
	SyscallConn() (syscall.RawConn, error)
}

// connect to a host, or to another VM.
func (c *Carrier) connect(ctx context.Context, from, to netip.AddrPort) (out socket, peer bool, err error) {
	network := c.Judge.Peers()
	if other, ok := network.Other(to.Addr()); ok {
		out, err := peering.UDP(ctx, network, other, from.Port(), to)
		return out, true, err
	}
	if plan.Peer(to.Addr()) {
		// It has left the network just now; nothing of the host is there.
		return nil, false, unix.EHOSTUNREACH
	}
	out, err = c.Host.UDP(to)
	return out, false, err
}

type key struct{ from, to netip.AddrPort }

type flow struct {
	key
	place  *list.Element
	socket socket
	// peer: the socket leads to another VM, and its datagrams have one byte before them.
	peer     bool
	record   *flows.Flow
	last     time.Time
	answered bool
}

// Handle one datagram. It does not block.
func (c *Carrier) Handle(ctx context.Context, from, to netip.AddrPort, payload []byte) {
	switch {
	case plan.Gateway(to.Addr()) && to.Port() == 53:
		c.ask(ctx, from, to, payload)
		return
	case plan.OnLink(to.Addr()):
		c.deny(from, to, payload, policy.Question{}, policy.Verdict{Reason: "host-port", Rule: "mode " + c.mode()})
		return
	}
	f, isNew := c.find(key{from, to})
	if isNew && plan.Peer(to.Addr()) {
		c.openLater(ctx, key{from, to}, payload)
		return
	}
	if isNew {
		if f = c.open(ctx, from, to, payload); f == nil {
			return
		}
	}
	c.write(f, payload)
}

// openLater opens a flow to another VM, whose netd has to answer first. What comes meanwhile is lost, as datagrams may be.
func (c *Carrier) openLater(ctx context.Context, k key, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opening[k] || len(c.opening) >= maxAsked {
		return
	}
	if c.opening == nil {
		c.opening = map[key]bool{}
	}
	c.opening[k] = true
	go func() {
		f := c.open(ctx, k.from, k.to, payload)
		c.mu.Lock()
		delete(c.opening, k)
		c.mu.Unlock()
		if f != nil {
			c.write(f, payload)
		}
	}()
}

func (c *Carrier) write(f *flow, payload []byte) {
	if _, err := f.socket.Write(payload); err != nil && !errors.Is(err, net.ErrClosed) {
		c.failed(f, err, payload)
		return
	}
	f.record.Up.Add(uint64(len(payload)))
}

func (c *Carrier) mode() string {
	p, _ := c.Judge.Policy()
	return p.Mode().String()
}

// find a flow and make it the one that was used last.
func (c *Carrier) find(k key) (*flow, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flows[k]
	if f == nil {
		return nil, true
	}
	f.last = time.Now()
	c.order.MoveToBack(f.place)
	return f, false
}

func (c *Carrier) open(ctx context.Context, from, to netip.AddrPort, payload []byte) *flow {
	q := c.Judge.Question(policy.UDP, to)
	verdict := c.Judge.Decide(q)
	if p, _ := c.Judge.Policy(); verdict.Allowed && (verdict.ByName || p.NamesMatter()) && (to.Port() == 443 || sniff.LooksLikeQUIC(payload)) {
		// Its server name cannot be checked; clients take TCP instead.
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "not-checkable"}
	}
	if !verdict.Allowed {
		c.deny(from, to, payload, q, verdict)
		return nil
	}
	out, peer, err := c.connect(ctx, from, to)
	if err != nil {
		c.Send(edge.Unreachable(edge.Datagram(from, to, payload), edge.HostUnreachable))
		c.log(journal.Failed, to, q, policy.Verdict{Allowed: true, Rule: verdict.Rule, Reason: hostnet.Failure(err)})
		return nil
	}
	f := &flow{key: key{from, to}, socket: out, peer: peer, last: time.Now()}
	f.record = c.Flows.Open(q, to, verdict, func() { out.Close() })
	c.mu.Lock()
	if c.flows == nil {
		c.flows, c.order = map[key]*flow{}, list.New()
	}
	var oldest *flow
	if len(c.flows) >= c.MaxFlows {
		oldest = c.order.Front().Value.(*flow)
		c.forget(oldest)
	}
	f.place = c.order.PushBack(f)
	c.flows[f.key] = f
	c.mu.Unlock()
	if oldest != nil {
		oldest.socket.Close()
	}
	go c.receive(f)
	return f
}

// forget is called with the lock.
func (c *Carrier) forget(f *flow) {
	if c.flows[f.key] == f {
		delete(c.flows, f.key)
		c.order.Remove(f.place)
	}
}

// receive answers until the flow has been idle, or its socket was closed.
func (c *Carrier) receive(f *flow) {
	defer func() {
		c.mu.Lock()
		c.forget(f)
		c.mu.Unlock()
		f.socket.Close()
		c.Flows.Close(f.record)
	}()
	raw, err := f.socket.SyscallConn()
	if err != nil {
		return
	}
	for {
		f.socket.SetReadDeadline(c.deadline(f))
		payload, err := read(raw)
		if f.peer && err == nil {
			if len(payload) == 0 {
				return
			}
			payload = payload[1:]
		}
		switch {
		case err == nil:
			c.answered(f)
			f.record.Down.Add(uint64(len(payload)))
			if packet := edge.Datagram(f.to, f.from, payload); len(packet) <= plan.MTU {
				c.Send(packet)
			}
		case errors.Is(err, unix.ECONNREFUSED):
			c.Send(edge.Unreachable(edge.Datagram(f.from, f.to, nil), edge.PortUnreachable))
		case isTimeout(err) && time.Now().Before(c.deadline(f)):
		default:
			return
		}
	}
}

func (c *Carrier) deadline(f *flow) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.answered {
		return f.last.Add(idleAfter)
	}
	return f.last.Add(idle)
}

func (c *Carrier) answered(f *flow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.answered, f.last = true, time.Now()
}

var buffers = sync.Pool{New: func() any { b := make([]byte, maxDatagram); return &b }}

// read takes a buffer only when there is something to read: flows that wait hold none.
func read(raw interface {
	Read(func(uintptr) bool) error
}) ([]byte, error) {
	var payload []byte
	var failed error
	err := raw.Read(func(fd uintptr) bool {
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		var n int
		n, failed = unix.Read(int(fd), *buffer)
		if failed == nil {
			payload = append([]byte{}, (*buffer)[:n]...)
		}
		return failed != unix.EAGAIN && failed != unix.EINTR
	})
	if err != nil {
		return nil, err
	}
	return payload, failed
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// failed tells the guest that a datagram did not get away.
func (c *Carrier) failed(f *flow, err error, payload []byte) {
	why := edge.HostUnreachable
	if errors.Is(err, unix.ECONNREFUSED) {
		// It is about an earlier datagram, and clears the error: this one goes now.
		f.socket.Write(payload)
		why = edge.PortUnreachable
	}
	c.Send(edge.Unreachable(edge.Datagram(f.from, f.to, payload), why))
}

func (c *Carrier) deny(from, to netip.AddrPort, payload []byte, q policy.Question, verdict policy.Verdict) {
	c.Send(edge.Unreachable(edge.Datagram(from, to, payload), edge.AdminProhibited))
	c.log(journal.Denied, to, q, verdict)
}

func (c *Carrier) log(event journal.Event, to netip.AddrPort, q policy.Question, verdict policy.Verdict) {
	record := journal.Record{Event: event, Protocol: policy.UDP, Target: to, Verdict: verdict}
	if len(q.Names) > 0 {
		record.Name, record.NameSource = q.Names[0], "dns"
	}
	c.Journal.Add(record)
}

// ask the name server.
func (c *Carrier) ask(ctx context.Context, from, to netip.AddrPort, question []byte) {
	c.mu.Lock()
	full := c.asked >= maxAsked
	if !full {
		c.asked++
	}
	c.mu.Unlock()
	if full || len(question) > maxQuestion {
		c.deny(from, to, question, policy.Question{}, policy.Verdict{Reason: "limit"})
		return
	}
	go func() {
		defer func() {
			c.mu.Lock()
			c.asked--
			c.mu.Unlock()
		}()
		if answer := c.Answer(ctx, question); answer != nil {
			c.Send(edge.Datagram(to, from, answer))
		}
	}()
}
