package sshd

import (
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"banger.dev/banger/internal/account"
)

// agentSocket is where programs of one session reach the key agent of the client (ssh -A).
type agentSocket struct {
	path     string
	listener *userListener
}

// listenForAgent makes a socket in a new directory that only the user may enter. The caller closes it.
func listenForAgent(conn *ssh.ServerConn, user account.Account) (*agentSocket, error) {
	var directory string
	err := asUser(user, func() (err error) {
		directory, err = os.MkdirTemp("/tmp", "ssh-")
		return err
	})
	if err != nil {
		return nil, err
	}
	agent := &agentSocket{path: filepath.Join(directory, "agent")}
	if agent.listener, err = listenAsUser(user, agent.path); err != nil {
		_ = asUser(user, func() error { return os.Remove(directory) })
		return nil, err
	}
	go serveListener(conn, agent.listener, "auth-agent@openssh.com", func(net.Conn) []byte { return nil })
	return agent, nil
}

func (a *agentSocket) close() {
	_ = a.listener.Close()
	_ = asUser(a.listener.user, func() error { return os.Remove(filepath.Dir(a.path)) })
}
