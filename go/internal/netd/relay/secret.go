package relay

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"time"

	"banger.dev/banger/internal/netd/names"
	"banger.dev/banger/internal/netd/secrets"
	"banger.dev/banger/internal/netd/sniff"
)

var httpProtocols = []string{"h2", "http/1.1"}

// endsHere says whether TLS has to end here: a secret is for the host, and the client speaks HTTP as far as it says.
func endsHere(set *secrets.Set, hello sniff.Hello) bool {
	speaks := len(hello.Protocols) == 0 || slices.ContainsFunc(hello.Protocols, func(p string) bool { return slices.Contains(httpProtocols, p) })
	return hello.Name != "" && speaks && set.Covers(hello.Name)
}

// copyForSecrets lets everything through as it is but TLS to the hosts of secrets.
func (s *session) copyForSecrets(set *secrets.Set) error {
	beginning, kind, err := s.readBeginning(true)
	if err != nil || len(beginning) == 0 {
		return endOf(err)
	}
	if kind == sniff.TLS {
		if hello, err := sniff.ParseHello(beginning); err == nil && hello.Name != "" {
			s.flow.Say(hello.Name, "tls", s.to.verdict)
			if endsHere(set, hello) && s.pauseDown() {
				return s.proxyTLS(beginning, hello.Name)
			}
		}
	}
	if err := s.passOn(beginning); err != nil {
		return err
	}
	return copyUp(s.upstream, s.guest, &s.flow.Up)
}

// proxyTLS ends the client's TLS with a certificate of our authority, and speaks TLS with the real host, which has to prove that it
// is that. Requests get the values of secrets on the way.
func (s *session) proxyTLS(beginning []byte, name string) error {
	client := newCounted(s, beginning)
	set := s.relay.Secrets()
	config := &tls.Config{
		NextProtos:     httpProtocols,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return set.Authority().Certificate(name) },
	}
	ended := tls.Server(client, config)
	if err := s.greet(ended); err != nil {
		return err
	}
	// The host is spoken with as the client speaks: what HTTP/1 can do, to become another protocol, HTTP/2 cannot.
	speak := []string{"http/1.1"}
	if ended.ConnectionState().NegotiatedProtocol == "h2" {
		speak = httpProtocols
	}
	dial := s.dialOnce()
	transport := &http.Transport{
		DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			upstream := tls.Client(conn, &tls.Config{ServerName: name, RootCAs: s.relay.Roots, NextProtos: speak})
			if err := upstream.HandshakeContext(ctx); err != nil {
				conn.Close()
				return nil, err
			}
			return upstream, nil
		},
		ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeaderBytes, ExpectContinueTimeout: 10 * time.Second,
	}
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: quiet(),
		Rewrite: func(r *httputil.ProxyRequest) { s.rewriteSecret(r, name) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "banger: "+name+" was not reached: "+err.Error()+"\n")
		},
	}
	server := &http.Server{
		MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: time.Minute, ErrorLog: quiet(), TLSConfig: config,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked, err := names.Normalize(hostOf(r)); err != nil || asked != name {
				// A value must not go to another host than the one that has proved itself.
				http.Error(w, "banger: this connection is to "+name, http.StatusMisdirectedRequest)
				return
			}
			proxy.ServeHTTP(w, r)
		}),
	}
	server.Serve(&oneConn{conn: ended, addr: client.LocalAddr()})
	<-client.closed
	return errDone
}

// greet does the client's handshake. A client that does not trust our authority ends it here.
func (s *session) greet(client *tls.Conn) error {
	ctx, cancel := context.WithTimeout(context.Background(), sayWithin)
	defer cancel()
	return client.HandshakeContext(ctx)
}

func (s *session) rewriteSecret(r *httputil.ProxyRequest, name string) {
	r.Out.URL.Scheme, r.Out.URL.Host = "https", name
	r.Out.Host = r.In.Host
	keepHeaders(r)
	s.flow.Use(s.relay.Secrets().Apply(name, r.Out.Header))
}

func hostOf(r *http.Request) string {
	if name, _, err := net.SplitHostPort(r.Host); err == nil {
		return name
	}
	return r.Host
}

// quiet: what clients and servers do wrong is for them to see.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
