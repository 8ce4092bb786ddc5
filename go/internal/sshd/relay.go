package sshd

import (
	"io"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

const connectTimeout = 10 * time.Second

// halfCloser is a TCP or unix stream connection, or an SSH channel.
type halfCloser interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// relay copies both ways until both directions have ended, passing half-closes on, and closes both.
func relay(one, other halfCloser) {
	defer one.Close()
	defer other.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(one, other)
	}()
	pass(other, one)
	<-done
}

func pass(to, from halfCloser) {
	_, readErr := io.Copy(to, from)
	_ = to.CloseWrite()
	if readErr != nil {
		// A broken side ends the other direction too, which would wait for it for ever.
		to.Close()
		from.Close()
	}
}

// serveDirectTCP serves ssh -L and -D: a connection from the guest to wherever the client says.
func serveDirectTCP(channel ssh.NewChannel) {
	var target struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if ssh.Unmarshal(channel.ExtraData(), &target) != nil || target.Port > 1<<16-1 {
		_ = channel.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	dialFor(channel, "tcp", joinHostPort(target.Host, target.Port))
}

// serveDirectUnix serves ssh -L to a unix socket of the guest.
func serveDirectUnix(channel ssh.NewChannel) {
	var target struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	if ssh.Unmarshal(channel.ExtraData(), &target) != nil {
		_ = channel.Reject(ssh.ConnectionFailed, "malformed request")
		return
	}
	dialFor(channel, "unix", target.Path)
}

func dialFor(channel ssh.NewChannel, network, address string) {
	connection, err := net.DialTimeout(network, address, connectTimeout)
	if err != nil {
		_ = channel.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	stream, requests, err := channel.Accept()
	if err != nil {
		connection.Close()
		return
	}
	go ssh.DiscardRequests(requests)
	relay(stream, connection.(halfCloser))
}
