package netd_test

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/netdtest"
	"golang.org/x/net/dns/dnsmessage"
)

const placeholder, value = "BANGER-SECRET-1234567890", "the-real-value"

// vault is a world with a server of two names, and an impostor of one of them.
type vault struct {
	world         *netdtest.World
	servers, ours *netdtest.Authority
	mu            sync.Mutex
	seen          []http.Header
	network       *netd.Network
	guest         *netdtest.Guest
	t             *testing.T
}

func newVault(t *testing.T, policy string) *vault {
	v := &vault{world: netdtest.NewWorld(t), servers: netdtest.NewAuthority(t), ours: netdtest.NewAuthority(t), t: t}
	v.world.Roots = v.servers.Pool
	v.serve("93.184.216.34:443", v.servers.For("api.example", "other.example"))
	v.serve("93.184.216.66:443", netdtest.NewAuthority(t).For("api.example"))
	v.world.Name("api.example", "93.184.216.34")
	v.world.Name("other.example", "93.184.216.34")
	v.network, v.guest = v.world.Start(policy)
	v.set(&netdv1.Secret{Name: "TOKEN", Placeholder: placeholder, Value: []byte(value), Hosts: []string{"api.example"}})
	return v
}

func (v *vault) set(list ...*netdv1.Secret) {
	v.t.Helper()
	if err := v.network.SetSecrets(&netdv1.Secrets{Secrets: list, CaCertificatePem: v.ours.PEM, CaKeyPem: v.ours.KeyPEM}); err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) serve(public string, certificate tls.Certificate) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		v.seen = append(v.seen, r.Header.Clone())
		v.mu.Unlock()
		fmt.Fprintf(w, "%s %s", r.Host, r.Proto)
		io.Copy(w, r.Body)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	v.t.Cleanup(server.Close)
	v.world.Way(public, server.Listener.Addr())
}

// get from the guest; the headers that the server saw, and what it said.
func (v *vault) get(host, address string, trusts *netdtest.Authority, http2 bool, change func(*http.Request)) (http.Header, string, error) {
	v.t.Helper()
	v.guest.Ask(v.t, host, dnsmessage.TypeA)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return v.guest.TCP(ctx, netip.MustParseAddrPort(address))
		},
		TLSClientConfig: &tls.Config{RootCAs: trusts.Pool}, ForceAttemptHTTP2: http2,
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(netdtest.Context(v.t), http.MethodPost, "https://"+host+"/", strings.NewReader(" body"))
	if err != nil {
		v.t.Fatal(err)
	}
	change(request)
	v.mu.Lock()
	v.seen = nil
	v.mu.Unlock()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	v.mu.Lock()
	defer v.mu.Unlock()
	var seen http.Header
	if len(v.seen) > 0 {
		seen = v.seen[0]
	}
	return seen, fmt.Sprint(response.StatusCode, " ", string(body)), err
}

func bearer(r *http.Request) { r.Header.Set("Authorization", "Bearer "+placeholder) }

func TestSecretsGoToTheirHostsOnly(t *testing.T) {
	for _, policy := range []string{`{"mode":"MODE_BALANCED"}`, `{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"*.example"}]}`} {
		v := newVault(t, policy)
		const at = "93.184.216.34:443"
		for _, http2 := range []bool{false, true} {
			proto := "HTTP/1.1"
			if http2 {
				proto = "HTTP/2.0"
			}
			seen, said, err := v.get("api.example", at, v.ours, http2, bearer)
			if err != nil || seen.Get("Authorization") != "Bearer "+value || said != "200 api.example "+proto+" body" {
				t.Errorf("%s: %v, %q, %v", proto, seen, said, err)
			}
		}
		seen, _, err := v.get("api.example", at, v.ours, true, func(r *http.Request) { r.SetBasicAuth("me", placeholder) })
		if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+value)); err != nil || seen.Get("Authorization") != want {
			t.Errorf("basic: %v, %v", seen, err)
		}
		// TLS to any other host passes as it is: its own certificate, and the placeholder.
		seen, _, err = v.get("other.example", at, v.servers, false, bearer)
		if err != nil || seen.Get("Authorization") != "Bearer "+placeholder {
			t.Errorf("another host: %v, %v", seen, err)
		}
		// Another host inside of the connection gets nothing.
		seen, said, err := v.get("api.example", at, v.ours, false, func(r *http.Request) {
			bearer(r)
			r.Host = "other.example"
		})
		if err != nil || seen != nil || !strings.HasPrefix(said, "421") {
			t.Errorf("another host inside: %v, %q, %v", seen, said, err)
		}
		// Whoever cannot prove to be the host gets nothing.
		v.world.Name("api.example", "93.184.216.66")
		seen, said, err = v.get("api.example", "93.184.216.66:443", v.ours, false, bearer)
		if err != nil || seen != nil || !strings.HasPrefix(said, "502") {
			t.Errorf("an impostor: %v, %q, %v", seen, said, err)
		}
		v.world.Name("api.example", "93.184.216.34")

		v.set(&netdv1.Secret{Name: "TOKEN", Placeholder: placeholder, Value: []byte("rotated"), Hosts: []string{"api.example"}, Headers: []string{"x-key"}})
		seen, _, err = v.get("api.example", at, v.ours, false, func(r *http.Request) {
			bearer(r)
			r.Header.Set("X-Key", placeholder)
		})
		if err != nil || seen.Get("X-Key") != "rotated" || seen.Get("Authorization") != "Bearer "+placeholder {
			t.Errorf("rotated, for one header: %v, %v", seen, err)
		}
		records, _, _ := v.network.Journal.Since(0, 10000)
		used := false
		for _, r := range records {
			used = used || len(r.Secrets) == 1 && r.Secrets[0] == "TOKEN"
			if text := fmt.Sprintf("%+v", r); strings.Contains(text, value) || strings.Contains(text, "rotated") {
				t.Errorf("the log has a value: %s", text)
			}
		}
		if !used {
			t.Error("the log does not say that a secret was used")
		}
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	v := newVault(t, `{"mode":"MODE_BALANCED"}`)
	good := func() *netdv1.Secrets {
		return &netdv1.Secrets{
			Secrets:          []*netdv1.Secret{{Name: "A", Placeholder: placeholder, Value: []byte(value), Hosts: []string{"api.example"}}},
			CaCertificatePem: v.ours.PEM, CaKeyPem: v.ours.KeyPEM,
		}
	}
	if err := v.network.SetSecrets(good()); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*netdv1.Secrets){
		"no name":             func(s *netdv1.Secrets) { s.Secrets[0].Name = "" },
		"a short placeholder": func(s *netdv1.Secrets) { s.Secrets[0].Placeholder = "x" },
		"no value":            func(s *netdv1.Secrets) { s.Secrets[0].Value = nil },
		"lines in the value":  func(s *netdv1.Secrets) { s.Secrets[0].Value = []byte(value + "\r\nX: y") },
		"no host":             func(s *netdv1.Secrets) { s.Secrets[0].Hosts = nil },
		"every host":          func(s *netdv1.Secrets) { s.Secrets[0].Hosts = []string{"*"} },
		"an address":          func(s *netdv1.Secrets) { s.Secrets[0].Hosts = []string{"10.0.0.1"} },
		"no header":           func(s *netdv1.Secrets) { s.Secrets[0].Headers = []string{"a b"} },
		"no authority":        func(s *netdv1.Secrets) { s.CaCertificatePem = nil },
		"another key":         func(s *netdv1.Secrets) { s.CaKeyPem = v.servers.KeyPEM },
	} {
		words := good()
		change(words)
		if err := v.network.SetSecrets(words); err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
