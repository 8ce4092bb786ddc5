// Package agenttest serves the agent's handlers to tests over HTTP/2 on a unix socket, as the guest's channel does.
package agenttest

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
)

// URL is the base address for clients of Serve.
const URL = "http://agent"

// HandlerOption switches compression off, as the agent does.
var HandlerOption = connect.WithCompression("gzip", nil, nil)

// Serve serves one Connect handler until the test ends and returns a client of it.
func Serve(t *testing.T, path string, handler http.Handler) *http.Client {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener = listener
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	transport := &http.Transport{
		Protocols: server.Config.Protocols,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", listener.Addr().String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
