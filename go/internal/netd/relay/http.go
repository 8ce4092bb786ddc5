package relay

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	"banger.dev/banger/internal/netd/link"
	"banger.dev/banger/internal/netd/names"
	"banger.dev/banger/internal/netd/policy"
)

const maxHeaderBytes = 64 << 10

// proxyHTTP reads every request of the connection and passes on those whose Host may be spoken with. Requests are written anew, so that
// server and policy cannot read them differently.
func (s *session) proxyHTTP(beginning []byte) error {
	client := newCounted(s, beginning)
	transport := &http.Transport{
		DialContext: s.dialOnce(), MaxConnsPerHost: 1, MaxIdleConnsPerHost: 1, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeaderBytes, ExpectContinueTimeout: 10 * time.Second,
	}
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      quiet(),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", s.to.asked.String()
			r.Out.Host = r.In.Host
			keepHeaders(r)
		},
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serveHTTP(w, r, proxy) }),
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          quiet(),
	}
	listener := &oneConn{conn: client, addr: client.LocalAddr()}
	server.Serve(listener)
	<-client.closed
	return errDone
}

// keepHeaders undoes what the proxy does to headers for others than us.
func keepHeaders(r *httputil.ProxyRequest) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values := r.In.Header[name]; values != nil {
			r.Out.Header[name] = values
		}
	}
	if r.In.Header["User-Agent"] == nil {
		r.Out.Header["User-Agent"] = nil
	}
}

func (s *session) serveHTTP(w http.ResponseWriter, r *http.Request, proxy http.Handler) {
	host := hostOf(r)
	verdict := s.to.verdict
	normal, err := names.Normalize(host)
	switch {
	case err == nil:
		verdict = s.decideName(normal)
	case verdict.ByName:
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "no-server-name"}
	}
	if r.Method == http.MethodConnect {
		verdict = policy.Verdict{Rule: verdict.Rule, Reason: "not-checkable"}
	}
	if verdict.Allowed {
		s.flow.Say(normal, "http", verdict)
		dropHidingUpgrades(r.Header)
		proxy.ServeHTTP(w, r)
		return
	}
	s.flow.Say(normal, "http", verdict)
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Banger-Denied", verdict.Reason)
	w.WriteHeader(http.StatusForbidden)
	io.WriteString(w, refusal(host, verdict))
	s.relay.Flows.Note(s.flow, verdict)
}

// dropHidingUpgrades keeps a connection from becoming one whose requests cannot be read: HTTP/2 and TLS in the middle of HTTP/1.
func dropHidingUpgrades(header http.Header) {
	for _, value := range header["Upgrade"] {
		if word := strings.ToLower(value); strings.Contains(word, "h2") || strings.Contains(word, "tls") || strings.Contains(word, "http") {
			header.Del("Upgrade")
			header.Del("Http2-Settings")
			return
		}
	}
}

// dialOnce gives the connection that is there already, then new ones to the same address: a server may close between requests.
func (s *session) dialOnce() func(context.Context, string, string) (net.Conn, error) {
	var mu sync.Mutex
	used := false
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		if !used {
			used = true
			return s.upstream, nil
		}
		return s.relay.connect(ctx, s.to)
	}
}

// counted is the guest's side: what was read already comes first, and bytes are counted.
type counted struct {
	*link.Conn
	session *session
	first   io.Reader
	once    sync.Once
	closed  chan struct{}
}

func newCounted(s *session, beginning []byte) *counted {
	return &counted{Conn: s.guest, session: s, first: bytes.NewReader(beginning), closed: make(chan struct{})}
}

func (c *counted) Read(b []byte) (int, error) {
	if c.first != nil {
		if n, err := c.first.Read(b); err == nil {
			c.session.flow.Up.Add(uint64(n))
			return n, nil
		}
		c.first = nil
	}
	n, err := c.Conn.Read(b)
	c.session.flow.Up.Add(uint64(n))
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.session.flow.Down.Add(uint64(n))
	return n, err
}

func (c *counted) Close() error {
	c.once.Do(func() { close(c.closed) })
	c.Conn.CloseWrite()
	return c.Conn.Close()
}

// oneConn is a listener with one connection.
type oneConn struct {
	mu   sync.Mutex
	conn net.Conn
	addr net.Addr
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, io.EOF
	}
	conn := l.conn
	l.conn = nil
	return conn, nil
}

func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.addr }
