package sshd

import (
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"

	"banger.dev/banger/internal/account"
)

const maxListeners = 64

// forwards are the listeners in the guest that a client asked for (ssh -R). They end with the connection.
type forwards struct {
	conn *ssh.ServerConn
	user account.Account

	mu        sync.Mutex
	listeners map[string]net.Listener // nil after close
}

func newForwards(conn *ssh.ServerConn, user account.Account) *forwards {
	return &forwards{conn: conn, user: user, listeners: map[string]net.Listener{}}
}

type tcpForward struct {
	Host string
	Port uint32
}

// handle carries out a global request; anything but forwarding is refused.
func (f *forwards) handle(kind string, payload []byte) (ok bool, reply []byte) {
	switch kind {
	case "tcpip-forward", "cancel-tcpip-forward":
		var request tcpForward
		if ssh.Unmarshal(payload, &request) != nil || request.Port > 1<<16-1 {
			return false, nil
		}
		if kind == "cancel-tcpip-forward" {
			return f.cancel("tcp " + joinHostPort(request.Host, request.Port)), nil
		}
		return f.listenTCP(request)
	case "streamlocal-forward@openssh.com", "cancel-streamlocal-forward@openssh.com":
		var request struct{ Path string }
		if ssh.Unmarshal(payload, &request) != nil {
			return false, nil
		}
		if kind == "cancel-streamlocal-forward@openssh.com" {
			return f.cancel("unix " + request.Path), nil
		}
		return f.listenUnix(request.Path), nil
	}
	return false, nil
}

// listenTCP listens where the client says: "" and "*" mean every address, as with GatewayPorts clientspecified.
func (f *forwards) listenTCP(request tcpForward) (ok bool, reply []byte) {
	host := request.Host
	if host == "*" {
		host = ""
	}
	listener, err := net.Listen("tcp", joinHostPort(host, request.Port))
	if err != nil {
		return false, nil
	}
	wantedPort := request.Port
	request.Port = uint32(listener.Addr().(*net.TCPAddr).Port)
	if !f.keep("tcp "+joinHostPort(request.Host, request.Port), listener) {
		return false, nil
	}
	go f.serve(listener, "forwarded-tcpip", func(connection net.Conn) []byte {
		origin := connection.RemoteAddr().(*net.TCPAddr)
		return ssh.Marshal(struct {
			Host       string
			Port       uint32
			OriginHost string
			OriginPort uint32
		}{request.Host, request.Port, origin.IP.String(), uint32(origin.Port)})
	})
	if wantedPort == 0 {
		reply = ssh.Marshal(struct{ Port uint32 }{request.Port})
	}
	return true, reply
}

func (f *forwards) listenUnix(path string) bool {
	listener, err := listenAsUser(f.user, path)
	if err != nil {
		return false
	}
	if !f.keep("unix "+path, listener) {
		return false
	}
	go f.serve(listener, "forwarded-streamlocal@openssh.com", func(net.Conn) []byte {
		return ssh.Marshal(struct{ Path, Reserved string }{Path: path})
	})
	return true
}

func (f *forwards) keep(key string, listener net.Listener) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners == nil || f.listeners[key] != nil || len(f.listeners) >= maxListeners {
		listener.Close()
		return false
	}
	f.listeners[key] = listener
	return true
}

func (f *forwards) cancel(key string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	listener := f.listeners[key]
	delete(f.listeners, key)
	return listener != nil && listener.Close() == nil
}

func (f *forwards) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, listener := range f.listeners {
		listener.Close()
	}
	f.listeners = nil
}

func (f *forwards) serve(listener net.Listener, kind string, describe func(net.Conn) []byte) {
	serveListener(f.conn, listener, kind, describe)
}

// serveListener opens a channel to the client for each connection, until the listener is closed.
func serveListener(conn *ssh.ServerConn, listener net.Listener, kind string, describe func(net.Conn) []byte) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			channel, requests, err := conn.OpenChannel(kind, describe(connection))
			if err != nil {
				connection.Close()
				return
			}
			go ssh.DiscardRequests(requests)
			relay(channel, connection.(halfCloser))
		}()
	}
}

func joinHostPort(host string, port uint32) string {
	return net.JoinHostPort(host, strconv.FormatUint(uint64(port), 10))
}
