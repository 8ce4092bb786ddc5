package sshd

import (
	"bufio"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"banger.dev/banger/internal/guest"
)

// dial connects with the Go client, for what the command-line client cannot be made to do.
func (g *guestHost) dial() *ssh.Client {
	g.t.Helper()
	me, _ := user.Current()
	return g.dialAs(me.Username)
}

func (g *guestHost) dialAs(name string) *ssh.Client {
	g.t.Helper()
	connection, err := net.Dial("unix", g.socket)
	if err != nil {
		g.t.Fatal(err)
	}
	client, channels, requests, err := ssh.NewClientConn(connection, "vm", &ssh.ClientConfig{
		User: name, Auth: []ssh.AuthMethod{ssh.PublicKeys(g.key)}, HostKeyCallback: ssh.FixedHostKey(g.hostKey),
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { client.Close() })
	return ssh.NewClient(client, channels, requests)
}

func (g *guestHost) session(client *ssh.Client, script string, prepare func(*ssh.Session)) (*ssh.Session, *bufio.Reader, io.Writer) {
	g.t.Helper()
	session, err := client.NewSession()
	if err != nil {
		g.t.Fatal(err)
	}
	if prepare != nil {
		prepare(session)
	}
	stdout, _ := session.StdoutPipe()
	stdin, _ := session.StdinPipe()
	if err := session.Start(script); err != nil {
		g.t.Fatal(err)
	}
	return session, bufio.NewReader(stdout), stdin
}

func expectLine(t *testing.T, output *bufio.Reader, want string) {
	t.Helper()
	if line, err := output.ReadString('\n'); strings.TrimSpace(line) != want {
		t.Fatalf("line %q, %v; want %q", line, err, want)
	}
}

func TestWindowChange(t *testing.T) {
	g := newGuest(t)
	session, output, input := g.session(g.dial(), `stty -echo; stty size; echo $TERM; read x; stty size`, func(session *ssh.Session) {
		if err := session.RequestPty("vt220", 30, 90, nil); err != nil {
			t.Fatal(err)
		}
	})
	expectLine(t, output, "30 90")
	expectLine(t, output, "vt220")
	// With a reply, which clients do not ask for: so the input is sent when the new size is set.
	size := ssh.Marshal(struct{ Columns, Rows, Width, Height uint32 }{99, 33, 0, 0})
	if ok, err := session.SendRequest("window-change", true, size); err != nil || !ok {
		t.Fatalf("window change: %v, %v", ok, err)
	}
	_, _ = io.WriteString(input, "\n")
	expectLine(t, output, "33 99")
	if err := session.Wait(); err != nil {
		t.Error(err)
	}
}

func TestSignalAndExitSignal(t *testing.T) {
	g := newGuest(t)
	session, output, _ := g.session(g.dial(), "echo up; exec sleep 60", nil)
	expectLine(t, output, "up")
	if err := session.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.Signal() != "TERM" {
		t.Errorf("end of the session: %v", err)
	}
}

func TestKeepaliveIsAnswered(t *testing.T) {
	client := newGuest(t).dial()
	if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Error(err)
	}
}

func TestDisconnectHangsUp(t *testing.T) {
	g := newGuest(t)
	for _, onTerminal := range []bool{false, true} {
		client := g.dial()
		_, output, _ := g.session(client, "echo $$; exec sleep 60", func(session *ssh.Session) {
			if onTerminal {
				_ = session.RequestPty("vt220", 30, 90, nil)
			}
		})
		line, _ := output.ReadString('\n')
		stat := "/proc/" + strings.TrimSpace(line) + "/stat"
		if _, err := os.Stat(stat); err != nil {
			t.Fatal(err)
		}
		client.Close()
		for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(stat); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("terminal %v: the process outlived its client", onTerminal)
			}
		}
	}
}

func TestRemoteTCPForwarding(t *testing.T) {
	client := newGuest(t).dial()
	listener, err := client.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		text, _ := io.ReadAll(connection)
		_, _ = fmt.Fprintf(connection, "host got %s", text)
		connection.Close()
	}()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, _ = io.WriteString(connection, "words")
	_ = connection.(*net.TCPConn).CloseWrite()
	if text, _ := io.ReadAll(connection); string(text) != "host got words" {
		t.Errorf("answer %q", text)
	}
	listener.Close()
	if second, err := net.Dial("tcp", address); err == nil {
		second.Close()
		t.Error("the guest still listens after the forwarding was cancelled")
	}
}

func TestNewRefusesBadKeys(t *testing.T) {
	g := newGuest(t)
	good := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"})
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(g.key.PublicKey())))
	key, _ := os.ReadFile(g.dir + "/key")
	for name, test := range map[string]struct {
		hostKey []byte
		lines   []string
	}{
		"no host key":  {nil, nil},
		"empty key":    {good, nil},
		"garbage line": {key, []string{"ssh-ed25519 AAAA"}},
		"options":      {key, []string{`command="true" ` + line}},
	} {
		if _, err := New(test.hostKey, test.lines, guest.NewWaiting()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New(key, []string{line}, guest.NewWaiting()); err != nil {
		t.Error(err)
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                     nil,
		"  a  b\tc\n":          {"a", "b", "c"},
		`say 'a b' "c d" e\ f`: {"say", "a b", "c d", "e f"},
		`'' x'y'"z" '\'`:       {"", "xyz", `\`},
	} {
		if got := splitWords(text); !slices.Equal(got, want) {
			t.Errorf("%q splits into %q", text, got)
		}
	}
}

func TestForwardedSocketsHaveTheUsersRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("logging in as another user needs root")
	}
	g := newGuest(t)
	open, err := os.MkdirTemp("", "sshd-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(open)
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	client := g.dialAs("daemon")
	private := t.TempDir()
	if _, err := client.ListenUnix(private + "/refused"); err == nil {
		t.Error("the user could make a socket where only root may")
	}
	if _, err := client.ListenUnix(open + "/d"); err != nil {
		t.Fatal(err)
	}
	status, err := os.Lstat(open + "/d")
	if err != nil || status.Sys().(*syscall.Stat_t).Uid != 1 || status.Mode().Perm() != 0o600 {
		t.Errorf("a socket of the user: %+v, %v", status, err)
	}
	// The user may swap what a path names: what then has the socket's name is not removed with root's rights.
	if err := os.Mkdir(open+"/mine", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open+"/mine", 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ListenUnix(open + "/mine/socket"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(open + "/mine"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(private, open+"/mine"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(private+"/socket", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	client.Close()
	// Listeners are closed in any order: the end of the service shows that all of them are.
	g.stop()
	if _, err := os.Lstat(private + "/socket"); err != nil {
		t.Errorf("a file of root went with the user's socket: %v", err)
	}
	if _, err := os.Lstat(open + "/d"); !os.IsNotExist(err) {
		t.Errorf("the user's own socket stayed: %v", err)
	}
}
