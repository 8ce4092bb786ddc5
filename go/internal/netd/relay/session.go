package relay

import (
	"context"
	"net"
	"sync"
	"time"

	"banger.dev/banger/internal/netd/flows"
	"banger.dev/banger/internal/netd/link"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/sniff"
)

// A client must have said who it wants to speak with in this time after its first byte, where that matters.
const sayWithin = 10 * time.Second

// So long one direction may stay open after the end of the other.
const halfClosedFor = 30 * time.Minute

// session is one connection in both directions.
type session struct {
	relay    *Relay
	guest    *link.Conn
	upstream stream
	to       destination
	flow     *flows.Flow

	down chan error
	once sync.Once
}

func (s *session) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, s.abort)
	defer stop()
	s.flow = s.relay.Flows.Open(s.to.question, s.to.asked, s.to.verdict, s.abort)
	defer s.relay.Flows.Close(s.flow)
	defer s.guest.Close()
	s.startDown()
	err := s.copyUp()
	if err == errDone {
		s.abort()
		<-s.down
		return
	}
	if err != nil {
		s.abort()
	} else {
		s.upstream.CloseWrite()
	}
	timer := time.AfterFunc(halfClosedFor, s.abort)
	defer timer.Stop()
	if err := <-s.down; err != nil {
		s.abort()
	}
}

// startDown moves what the server says; some protocols have it speak first.
func (s *session) startDown() {
	s.down = make(chan error, 1)
	go func() {
		err := copyDown(s.guest, s.upstream, &s.flow.Down)
		if err == nil {
			s.guest.CloseWrite()
		} else if !isTimeout(err) {
			s.abort()
		}
		s.down <- err
	}()
}

// pauseDown stops that again, and says whether the server had said nothing yet.
func (s *session) pauseDown() bool {
	s.upstream.SetReadDeadline(time.Unix(1, 0))
	err := <-s.down
	s.down <- nil
	s.upstream.SetReadDeadline(time.Time{})
	return isTimeout(err) && s.flow.Down.Load() == 0
}

// abort resets both sides, at once.
func (s *session) abort() {
	s.once.Do(func() {
		s.guest.Abort()
		if tcp, ok := s.upstream.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		s.upstream.Close()
	})
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// copyUp moves what the client says, after a look at its beginning.
func (s *session) copyUp() error {
	p, _ := s.relay.Judge.Policy()
	if _, peer := s.relay.Judge.Peers().Other(s.to.asked.Addr()); peer || plan.Host(s.to.asked.Addr()) {
		return copyUp(s.upstream, s.guest, &s.flow.Up)
	}
	if s.to.verdict.ByName || p.NamesMatter() {
		return s.copyChecked()
	}
	if set := s.relay.Secrets(); set != nil {
		return s.copyForSecrets(set)
	}
	return s.copyNoted()
}

// copyNoted lets everything through, and takes a name for the log from the first bytes.
func (s *session) copyNoted() error {
	s.guest.WaitReadable()
	buffer := buffers.Get().(*[]byte)
	n, err := s.guest.Read(*buffer)
	if n > 0 {
		if hello, err := sniff.ParseHello((*buffer)[:n]); err == nil && hello.Name != "" {
			s.flow.Say(hello.Name, "tls", s.to.verdict)
		}
		if _, failed := s.upstream.Write((*buffer)[:n]); failed != nil {
			err = failed
		}
		s.flow.Up.Add(uint64(n))
	}
	buffers.Put(buffer)
	if err != nil {
		return endOf(err)
	}
	return copyUp(s.upstream, s.guest, &s.flow.Up)
}

func (s *session) deny(verdict policy.Verdict) { s.relay.Flows.Deny(s.flow, verdict) }
