package peering

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"banger.dev/banger/internal/netd/flows"
	"banger.dev/banger/internal/netd/judge"
	"banger.dev/banger/internal/netd/link"
	"banger.dev/banger/internal/netd/peers"
	"banger.dev/banger/internal/netd/policy"
)

const (
	maxVisits   = 1024
	maxDatagram = 64 << 10
	idle        = 5 * time.Minute
)

// Server takes connections of other VMs to this one.
type Server struct {
	Judge *judge.Judge
	Flows *flows.Registry
	Link  *link.Link

	mu        sync.Mutex
	path      string
	listeners []*net.UnixListener
	visits    chan struct{}
}

// Listen on the sockets of a path in place of those of another; "" is none.
func (s *Server) Listen(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if path == s.path {
		return nil
	}
	for _, listener := range s.listeners {
		listener.Close()
	}
	s.listeners, s.path = nil, ""
	if path == "" {
		return nil
	}
	s.visits = make(chan struct{}, maxVisits)
	for _, one := range []struct {
		kind, path string
		serve      func(*net.UnixConn, preface)
	}{{"unix", path, s.serveTCP}, {"unixpacket", path + peers.Datagrams, s.serveUDP}} {
		// Whoever had it is gone: a path is given to one netd at a time.
		os.Remove(one.path)
		listener, err := net.ListenUnix(one.kind, &net.UnixAddr{Name: one.path, Net: one.kind})
		if err != nil {
			return err
		}
		if err := os.Chmod(one.path, 0o600); err != nil {
			return err
		}
		s.listeners = append(s.listeners, listener)
		go s.accept(listener, one.serve)
	}
	s.path = path
	return nil
}

func (s *Server) accept(listener *net.UnixListener, serve func(*net.UnixConn, preface)) {
	for {
		conn, err := listener.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// No descriptor is left: one may be, soon.
			time.Sleep(10 * time.Millisecond)
			continue
		}
		select {
		case s.visits <- struct{}{}:
			go func() {
				defer func() { <-s.visits }()
				defer conn.Close()
				if p, ok := s.receive(conn); ok {
					serve(conn, p)
				}
			}()
		default:
			conn.Close()
		}
	}
}

// receive who it is. Not ok: it was told so.
func (s *Server) receive(conn *net.UnixConn) (preface, bool) {
	conn.SetDeadline(time.Now().Add(prefaceWithin))
	defer conn.SetDeadline(time.Time{})
	b := make([]byte, prefaceSize)
	if _, err := io.ReadFull(conn, b); err != nil {
		return preface{}, false
	}
	p, ok := parsePreface(b)
	if ok {
		_, ok = s.Judge.Peers().Other(p.from)
	}
	if !ok {
		conn.Write([]byte{answerUnknown})
	}
	return p, ok
}

// question of the policy here: what keeps this VM from connecting to another keeps that one from connecting to it.
func (s *Server) question(protocol policy.Protocol, p preface) (policy.Question, policy.Verdict) {
	q := s.Judge.Question(protocol, netip.AddrPortFrom(p.source().Addr(), p.port))
	return q, s.Judge.Decide(q)
}

func (s *Server) serveTCP(conn *net.UnixConn, p preface) {
	q, verdict := s.question(policy.TCP, p)
	if !verdict.Allowed {
		conn.Write([]byte{answerRefused})
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), prefaceWithin)
	defer cancel()
	guest, err := s.Link.DialTCP(ctx, p.source(), p.target())
	if err != nil {
		conn.Write([]byte{answerRefused})
		return
	}
	defer guest.Close()
	cut := sync.OnceFunc(func() {
		guest.Abort()
		conn.Close()
	})
	flow := s.Flows.OpenInbound(q, netip.AddrPortFrom(p.source().Addr(), p.port), verdict, cut)
	defer s.Flows.Close(flow)
	if _, err := conn.Write([]byte{answerOpen}); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n, err := io.Copy(conn, guest)
		flow.Up.Add(uint64(n))
		if err != nil || conn.CloseWrite() != nil {
			cut()
		}
	}()
	n, err := io.Copy(guest, conn)
	flow.Down.Add(uint64(n))
	if err != nil || guest.CloseWrite() != nil {
		cut()
	}
	<-done
}

func (s *Server) serveUDP(conn *net.UnixConn, p preface) {
	q, verdict := s.question(policy.UDP, p)
	if !verdict.Allowed {
		conn.Write([]byte{answerRefused})
		return
	}
	guest, err := s.Link.DialUDP(p.source(), p.target())
	if err != nil {
		conn.Write([]byte{answerRefused})
		return
	}
	defer guest.Close()
	cut := sync.OnceFunc(func() {
		guest.Close()
		conn.Close()
	})
	flow := s.Flows.OpenInbound(q, netip.AddrPortFrom(p.source().Addr(), p.port), verdict, cut)
	defer s.Flows.Close(flow)
	if _, err := conn.Write([]byte{answerOpen}); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cut()
		buffer := make([]byte, maxDatagram)
		for {
			n, err := guest.Read(buffer)
			if err != nil {
				return
			}
			flow.Up.Add(uint64(n))
			if _, err := (&Datagrams{conn}).Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, maxDatagram)
	for {
		conn.SetReadDeadline(time.Now().Add(idle))
		n, err := conn.Read(buffer)
		if err != nil || n == 0 {
			break
		}
		flow.Down.Add(uint64(n - 1))
		if _, err := guest.Write(buffer[1:n]); err != nil {
			break
		}
	}
	cut()
	<-done
}
