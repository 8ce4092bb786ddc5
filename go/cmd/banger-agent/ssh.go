package main

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/sshd"
)

// sshService is the SSH server once its keys are known. The server is made at the first connection: its cryptography
// is slow to start on an emulated processor, and most guests are never reached by SSH.
type sshService struct {
	state *guest.State

	mu     sync.Mutex
	server func() (*sshd.Server, error)
}

func (s *sshService) start(hostKeyPEM []byte, authorizedKeys []string) error {
	if block, _ := pem.Decode(hostKeyPEM); block == nil {
		return errors.New("the host key is no PEM block")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = sync.OnceValues(func() (*sshd.Server, error) { return sshd.New(hostKeyPEM, authorizedKeys, s.state) })
	return nil
}

// serveConn closes connections that come before start.
func (s *sshService) serveConn(conn net.Conn) {
	s.mu.Lock()
	makeServer := s.server
	s.mu.Unlock()
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
