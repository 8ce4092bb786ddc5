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
	listener net.Listener
}

// listenForAgent makes a socket in a new directory that only the user may enter. The caller closes it.
func listenForAgent(conn *ssh.ServerConn, user account.Account) (*agentSocket, error) {
	directory, err := os.MkdirTemp("/tmp", "ssh-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(directory, "agent")
	listener, err := net.Listen("unix", path)
	if err == nil {
		err = os.Lchown(path, int(user.UID), int(user.GID))
	}
	if err == nil {
		err = os.Lchown(directory, int(user.UID), int(user.GID))
	}
	if err != nil {
		if listener != nil {
			listener.Close()
		}
		os.RemoveAll(directory)
		return nil, err
	}
	go serveListener(conn, listener, "auth-agent@openssh.com", func(net.Conn) []byte { return nil })
	return &agentSocket{path: path, listener: listener}, nil
}

func (a *agentSocket) close() {
	a.listener.Close()
	// Not RemoveAll: the directory belongs to the user.
	os.Remove(filepath.Dir(a.path))
}
