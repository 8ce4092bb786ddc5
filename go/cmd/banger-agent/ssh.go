package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"sync"
	"time"

	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/sshd"
)

// sshService is the SSH server once its keys are known. The server is made at the first connection: its cryptography
// is slow to start on an emulated processor, and most guests are never reached by SSH.
type sshService struct {
	state *guest.State

	mu     sync.Mutex
	server func() (*sshd.Server, error)
	// open maps each connection to what is closed when its service is over.
	open map[net.Conn]chan struct{}
}

const oldSessionsLimit = 5 * time.Second

// start also ends the sessions of an earlier start, and returns when they are over.
func (s *sshService) start(hostKeyPEM []byte, authorizedKeys []string) error {
	if block, _ := pem.Decode(hostKeyPEM); block == nil {
		return errors.New("the host key is no PEM block")
	}
	s.mu.Lock()
	s.server = sync.OnceValues(func() (*sshd.Server, error) { return sshd.New(hostKeyPEM, authorizedKeys, s.state) })
	old := maps.Clone(s.open)
	s.mu.Unlock()
	for conn := range old {
		conn.Close()
	}
	limit := time.After(oldSessionsLimit)
	for _, over := range old {
		select {
		case <-over:
		case <-limit:
			return errors.New("sessions with the old keys did not end")
		}
	}
	return nil
}

// enter notes a connection and picks its server, nil before start. The caller calls leave.
func (s *sshService) enter(conn net.Conn) func() (*sshd.Server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[net.Conn]chan struct{}{}
	}
	s.open[conn] = make(chan struct{})
	return s.server
}

func (s *sshService) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.open[conn])
	delete(s.open, conn)
}

// serveConn closes connections that come before start.
func (s *sshService) serveConn(conn net.Conn) {
	makeServer := s.enter(conn)
	defer s.leave(conn)
	if makeServer == nil {
		conn.Close()
		return
	}
	server, err := makeServer()
	if err != nil {
		fmt.Fprintf(os.Stderr, "banger-agent: ssh: %v\n", err)
		conn.Close()
		return
	}
	server.ServeConn(conn)
}
