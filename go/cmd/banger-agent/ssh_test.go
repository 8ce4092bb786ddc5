package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"banger.dev/banger/internal/guest"
	"golang.org/x/crypto/ssh"
)

func newKey(t *testing.T) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

// dial logs in and returns the host key that was shown.
func dial(t *testing.T, service *sshService, key ssh.Signer) (*ssh.Client, ssh.PublicKey, error) {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			service.serveConn(conn)
		}
	}()
	near, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	self, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var shown ssh.PublicKey
	conn, channels, requests, err := ssh.NewClientConn(near, "guest", &ssh.ClientConfig{
		User: self.Username,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			shown = key
			return nil
		},
	})
	if err != nil {
		return nil, shown, err
	}
	return ssh.NewClient(conn, channels, requests), shown, nil
}

func authorize(key ssh.Signer) []string {
	return []string{string(ssh.MarshalAuthorizedKey(key.PublicKey()))}
}

func TestANewIdentityEndsOldSessions(t *testing.T) {
	service := &sshService{state: guest.NewRunning(guest.Config{})}
	oldHost, oldPEM := newKey(t)
	newHost, newPEM := newKey(t)
	oldUser, _ := newKey(t)
	newUser, _ := newKey(t)
	if err := service.start(oldPEM, authorize(oldUser)); err != nil {
		t.Fatal(err)
	}
	client, shown, err := dial(t, service, oldUser)
	if err != nil || !bytes.Equal(shown.Marshal(), oldHost.PublicKey().Marshal()) {
		t.Fatalf("log in: %v, host key %v", err, shown)
	}
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	output, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended := filepath.Join(t.TempDir(), "ended")
	if err := session.Start("trap 'echo hup > " + ended + "; exit' HUP; echo ready; while :; do sleep 0.01; done"); err != nil {
		t.Fatal(err)
	}
	if _, err := output.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}

	if err := service.start(newPEM, authorize(newUser)); err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(); err == nil {
		t.Error("the old session goes on")
	}
	for text := []byte(nil); len(text) == 0; {
		text, _ = os.ReadFile(ended) // The test's own time limit ends this.
	}
	if _, _, err := dial(t, service, oldUser); err == nil {
		t.Error("the old key may log in")
	}
	renewed, shown, err := dial(t, service, newUser)
	if err != nil || !bytes.Equal(shown.Marshal(), newHost.PublicKey().Marshal()) {
		t.Fatalf("log in with the new key: %v, host key %v", err, shown)
	}
	renewed.Close()
}
