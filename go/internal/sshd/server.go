// Package sshd is the guest's SSH server: the image needs none. It serves any stream, knows public keys only, and runs
// commands through package process. Every accepted key may log in as every user of the guest, root among them.
package sshd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"banger.dev/banger/internal/account"
	"banger.dev/banger/internal/guest"
)

// handshakeTimeout bounds what a connection costs before it has proved a key.
const handshakeTimeout = 30 * time.Second

// Server accepts the configured keys for every user of the guest.
type Server struct {
	config *ssh.ServerConfig
	state  *guest.State
}

// New parses the host key (PEM, PKCS#8 or OpenSSH form) and the authorized keys (lines of authorized_keys; blank lines and
// comments are skipped, options are refused because they would promise a restriction that nobody keeps).
func New(hostKeyPEM []byte, authorizedKeys []string, state *guest.State) (*Server, error) {
	hostKey, err := ssh.ParsePrivateKey(hostKeyPEM)
	if err != nil {
		return nil, fmt.Errorf("ssh host key: %w", err)
	}
	authorized, err := parseAuthorizedKeys(authorizedKeys)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-banger",
		// A client with an agent may offer many keys before the right one.
		MaxAuthTries: 20,
		PublicKeyCallback: func(metadata ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !authorized[string(key.Marshal())] {
				return nil, errors.New("key is not authorized")
			}
			_, err := lookupUser(metadata.User())
			return nil, err
		},
	}
	config.AddHostKey(hostKey)
	return &Server{config: config, state: state}, nil
}

func parseAuthorizedKeys(lines []string) (map[string]bool, error) {
	authorized := map[string]bool{}
	for number, line := range lines {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err == nil && len(options) > 0 {
			err = errors.New("options are not supported")
		}
		if err != nil {
			return nil, fmt.Errorf("authorized key %d: %w", number+1, err)
		}
		authorized[string(key.Marshal())] = true
	}
	return authorized, nil
}

// lookupUser finds a user by name only: numbers and "user:group" are no login names.
func lookupUser(name string) (account.Account, error) {
	if name == "" || strings.Contains(name, ":") {
		return account.Account{}, fmt.Errorf("%q is not a user name", name)
	}
	user, err := account.System.Lookup(name)
	if err == nil && user.Name != name {
		err = account.ErrUnknown
	}
	return user, err
}

// ServeConn serves one client until the connection ends, and closes it. When it
// returns, what the client's sessions still run has got SIGHUP.
func (s *Server) ServeConn(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(handshakeTimeout))
	client, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	user, err := lookupUser(client.User())
	if err != nil {
		return
	}
	ctx, over := context.WithCancel(context.Background())
	peer := &peer{ctx: ctx, conn: client, user: user, state: s.state, forwards: newForwards(client, user)}
	defer peer.forwards.close()
	go peer.serveRequests(requests)
	for channel := range channels {
		if channel.ChannelType() == "session" {
			peer.sessions.Go(func() { peer.serveChannel(channel) })
		} else {
			go peer.serveChannel(channel)
		}
	}
	over()
	peer.sessions.Wait()
}

// peer is one authenticated client.
type peer struct {
	// ctx is done when the connection is over.
	ctx      context.Context
	sessions sync.WaitGroup
	conn     *ssh.ServerConn
	user     account.Account
	state    *guest.State
	forwards *forwards
}

func (p *peer) serveRequests(requests <-chan *ssh.Request) {
	for request := range requests {
		ok, reply := p.forwards.handle(request.Type, request.Payload)
		// A keepalive wants any answer, also a refusal.
		_ = request.Reply(ok, reply)
	}
}

func (p *peer) serveChannel(channel ssh.NewChannel) {
	switch channel.ChannelType() {
	case "session":
		stream, requests, err := channel.Accept()
		if err == nil {
			newSession(p, stream).serve(requests)
		}
	case "direct-tcpip":
		serveDirectTCP(channel)
	case "direct-streamlocal@openssh.com":
		serveDirectUnix(channel)
	default:
		_ = channel.Reject(ssh.UnknownChannelType, "unknown channel type")
	}
}
