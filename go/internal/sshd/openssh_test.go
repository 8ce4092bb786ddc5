package sshd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"banger.dev/banger/internal/guest"
)

const patience = 20 * time.Second

// TestMain lets the test binary be the SFTP process of a user, as the agent is, and the ProxyCommand of the real ssh client,
// which joins stdin and stdout with a unix socket.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == SFTPArgument {
		if err := ServeSFTP(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if socket := os.Getenv("SSHD_TEST_PROXY"); socket != "" {
		connection, err := net.Dial("unix", socket)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		go func() {
			_, _ = io.Copy(connection, os.Stdin)
			_ = connection.(*net.UnixConn).CloseWrite()
		}()
		_, _ = io.Copy(os.Stdout, connection)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// guestHost is a server on a unix socket, and the files that an ssh client needs to reach it as host "vm".
type guestHost struct {
	t       *testing.T
	dir     string
	socket  string
	config  string
	key     ssh.Signer
	hostKey ssh.PublicKey
	// stop ends the listening and returns when no connection is served any more. It runs at the end of the test anyway.
	stop func()
}

func newGuest(t *testing.T) *guestHost {
	t.Helper()
	g := &guestHost{t: t, dir: t.TempDir()}
	hostPublic, hostPrivate, _ := ed25519.GenerateKey(rand.Reader)
	hostDER, err := x509.MarshalPKCS8PrivateKey(hostPrivate)
	if err != nil {
		t.Fatal(err)
	}
	g.hostKey, _ = ssh.NewPublicKey(hostPublic)
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	g.key, _ = ssh.NewSignerFromKey(private)
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	g.put("key", string(pem.EncodeToMemory(block)))
	g.put("known_hosts", "vm "+string(ssh.MarshalAuthorizedKey(g.hostKey)))

	server, err := New(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: hostDER}),
		[]string{"# comment", "", string(ssh.MarshalAuthorizedKey(g.key.PublicKey()))},
		guest.NewRunning(guest.Config{Environment: []string{"FROM_GUEST=yes"}, DefaultWorkdir: "/usr"}))
	if err != nil {
		t.Fatal(err)
	}
	g.socket = filepath.Join(g.dir, "s")
	g.listen(server)

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	self, _ := os.Executable()
	g.config = g.put("config", fmt.Sprintf(`Host vm
	User %s
	ProxyCommand env SSHD_TEST_PROXY=%s %s
	IdentityFile %s/key
	IdentitiesOnly yes
	IdentityAgent none
	UserKnownHostsFile %s/known_hosts
	StrictHostKeyChecking yes
	BatchMode yes
	LogLevel ERROR
`, me.Username, g.socket, self, g.dir, g.dir))
	return g
}

func (g *guestHost) listen(server *Server) {
	listener, err := net.Listen("unix", g.socket)
	if err != nil {
		g.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { server.ServeConn(connection) })
		}
	})
	g.stop = sync.OnceFunc(func() {
		listener.Close()
		ended := make(chan struct{})
		go func() { serving.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(patience):
			g.t.Error("connections were still served after their clients had gone")
		}
	})
	g.t.Cleanup(g.stop)
}

func (g *guestHost) put(name, text string) string {
	path := filepath.Join(g.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

type outcome struct {
	stdout, stderr string
	code           int
}

// run runs a real client program with the environment that makes "vm" reachable.
func (g *guestHost) run(input []byte, name string, args ...string) outcome {
	g.t.Helper()
	cmd := exec.Command(name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	cmd.Env = append(os.Environ(), "GIT_SSH_COMMAND=ssh -F "+g.config, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t")
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() {
		g.t.Errorf("%s %q did not end", name, args)
		_ = cmd.Process.Kill()
	})
	defer timer.Stop()
	_ = cmd.Wait()
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (g *guestHost) ssh(input string, args ...string) outcome {
	g.t.Helper()
	return g.run([]byte(input), "ssh", append([]string{"-F", g.config}, args...)...)
}

func (g *guestHost) must(input []byte, name string, args ...string) string {
	g.t.Helper()
	got := g.run(input, name, args...)
	if got.code != 0 {
		g.t.Fatalf("%s %q: exit %d: %s%s", name, args, got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

func TestCommands(t *testing.T) {
	g := newGuest(t)
	for _, test := range []struct {
		input string
		args  []string
		want  outcome
	}{
		{"", []string{"vm", "echo out; echo err >&2; exit 42"}, outcome{"out\n", "err\n", 42}},
		{"in", []string{"vm", "cat"}, outcome{"in", "", 0}},
		{"", []string{"vm", "echo $FROM_GUEST; pwd; echo ${SSH_CONNECTION:+ssh}"}, outcome{"yes\n" + home(t) + "\nssh\n", "", 0}},
		{"", []string{"-o", `SetEnv=MINE="a b"`, "vm", "echo $MINE"}, outcome{"a b\n", "", 0}},
		{"echo login $0\nexit 3\n", []string{"-T", "vm"}, outcome{"login -" + filepath.Base(shellOf(t)) + "\n", "", 3}},
		{"", []string{"vm", "exec kill -9 $$"}, outcome{"", "", 255}},
		{"", []string{"vm", "kill -BUS $$"}, outcome{"", "", 135}},
		{"", []string{"-tt", "vm", "stty size; exit 6"}, outcome{"24 80\r\n", "", 6}},
		{"word\n", []string{"-tt", "vm", "stty -echo; read x; echo got $x"}, outcome{"word\r\ngot word\r\n", "", 0}},
	} {
		got := g.ssh(test.input, test.args...)
		if test.args[0] == "-tt" {
			// The terminal echoes what was typed before the program switched it off, or not.
			got.stdout, test.want.stdout = strings.TrimPrefix(got.stdout, "word\r\n"), strings.TrimPrefix(test.want.stdout, "word\r\n")
		}
		if got != test.want {
			t.Errorf("ssh %q: got %+v, want %+v", test.args, got, test.want)
		}
	}
}

func home(t *testing.T) string {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return me.HomeDir
}

func shellOf(t *testing.T) string {
	t.Helper()
	me, err := lookupUser(func() string { me, _ := user.Current(); return me.Username }())
	if err != nil {
		t.Fatal(err)
	}
	return me.Shell
}

func TestBinaryThroughSSH(t *testing.T) {
	g := newGuest(t)
	data := make([]byte, 5<<20+1)
	_, _ = rand.Read(data)
	if got := g.run(data, "ssh", "-F", g.config, "vm", "tee /dev/stderr"); got.stdout != string(data) || got.stderr != string(data) {
		t.Errorf("%d and %d bytes came back", len(got.stdout), len(got.stderr))
	}
}

func TestRefusedLogins(t *testing.T) {
	g := newGuest(t)
	_, stranger, _ := ed25519.GenerateKey(rand.Reader)
	block, _ := ssh.MarshalPrivateKey(stranger, "stranger")
	other := g.put("stranger", string(pem.EncodeToMemory(block)))
	text, _ := os.ReadFile(g.config)
	strangers := g.put("config-stranger", strings.ReplaceAll(string(text), g.dir+"/key", other))
	for name, args := range map[string][]string{
		"unknown key":  {"-F", strangers}, // the last -F counts
		"unknown user": {"-l", "no-such-user"},
		"numeric user": {"-l", "0"},
		"user:group":   {"-l", "root:root"},
	} {
		got := g.ssh("", append(args, "vm", "true")...)
		if got.code != 255 || !strings.Contains(got.stderr, "Permission denied (publickey)") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestCopyTools(t *testing.T) {
	g := newGuest(t)
	data := make([]byte, 1<<20+3)
	_, _ = rand.Read(data)
	source := g.put("source", string(data))
	for name, copyThere := range map[string]func(to string){
		"scp":        func(to string) { g.must(nil, "scp", "-F", g.config, "-p", source, "vm:"+to) },
		"legacy scp": func(to string) { g.must(nil, "scp", "-O", "-F", g.config, "-p", source, "vm:"+to) },
		"sftp":       func(to string) { g.must([]byte("put -p "+source+" "+to), "sftp", "-F", g.config, "-b", "-", "vm") },
		"rsync":      func(to string) { g.must(nil, "rsync", "-az", "-e", "ssh -F "+g.config, source, "vm:"+to) },
	} {
		t.Run(name, func(t *testing.T) {
			to := filepath.Join(t.TempDir(), "there")
			copyThere(to)
			got, err := os.ReadFile(to)
			status, _ := os.Stat(to)
			if err != nil || !bytes.Equal(got, data) || status.Mode() != 0o600 {
				t.Errorf("%d bytes arrived, %v", len(got), err)
			}
		})
	}
	back := filepath.Join(g.dir, "back")
	g.must(nil, "scp", "-r", "-F", g.config, "vm:"+source, back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if listing := g.must([]byte("pwd\n"), "sftp", "-q", "-F", g.config, "-b", "-", "vm"); !strings.Contains(listing, home(t)) {
		t.Errorf("sftp starts in %q", listing)
	}
}

func TestSFTPRunsAsTheUser(t *testing.T) {
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
	source := g.put("source", "text")
	g.must([]byte("put "+source+" "+open+"/file"), "sftp", "-F", g.config, "-o", "User=daemon", "-b", "-", "vm")
	status, err := os.Stat(open + "/file")
	if err != nil || status.Sys().(*syscall.Stat_t).Uid != 1 {
		t.Errorf("owner of the file: %+v, %v", status, err)
	}
	if got := g.run([]byte("get /etc/shadow "+g.dir+"/stolen"), "sftp", "-F", g.config, "-o", "User=daemon", "-b", "-", "vm"); got.code == 0 {
		t.Errorf("the user could read what only root may: %+v", got)
	}
}

func TestGitOverSSH(t *testing.T) {
	g := newGuest(t)
	there, here, again := g.dir+"/there.git", g.dir+"/here", g.dir+"/again"
	g.must(nil, "git", "init", "-q", "--bare", "-b", "main", there)
	g.must(nil, "git", "init", "-q", "-b", "main", here)
	g.put("here/file", "text")
	g.must(nil, "git", "-C", here, "add", "file")
	g.must(nil, "git", "-C", here, "commit", "-q", "-m", "first")
	g.must(nil, "git", "-C", here, "push", "-q", "vm:"+there, "main")
	g.must(nil, "git", "clone", "-q", "vm:"+there, again)
	if text, err := os.ReadFile(again + "/file"); err != nil || string(text) != "text" {
		t.Errorf("cloned %q, %v", text, err)
	}
}

func TestForwardingWithRealClient(t *testing.T) {
	g := newGuest(t)
	answer := answering(t, "tcp", "127.0.0.1:0")
	if got := g.ssh("question", "-W", answer, "vm"); got.stdout != "answer to question" {
		t.Errorf("ssh -W: %+v", got)
	}
	socket := g.dir + "/answer"
	answering(t, "unix", socket)
	remote := g.dir + "/remote"
	script := fmt.Sprintf(`printf question | exec python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect("%s"); s.sendall(sys.stdin.buffer.read()); s.shutdown(1)
while d := s.recv(999): sys.stdout.write(d.decode())'`, remote)
	if got := g.ssh("", "-R", remote+":"+socket, "vm", script); got.stdout != "answer to question" {
		t.Errorf("ssh -R: %+v", got)
	}
	// The client may have gone before the service has cleaned up.
	g.stop()
	if _, err := os.Lstat(remote); !os.IsNotExist(err) {
		t.Errorf("the forwarded socket stayed: %v", err)
	}
}

// answering listens until the test ends, and answers each connection when it has read to its end.
func answering(t *testing.T, network, address string) string {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			question, _ := io.ReadAll(connection)
			_, _ = fmt.Fprintf(connection, "answer to %s", question)
			connection.Close()
		}
	}()
	return listener.Addr().String()
}

func TestAgentForwarding(t *testing.T) {
	g := newGuest(t)
	socket := g.dir + "/agent"
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if connection, err := net.Dial("unix", socket); err == nil {
			connection.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("ssh-agent did not listen")
		}
	}
	g.must(nil, "env", "SSH_AUTH_SOCK="+socket, "ssh-add", "-q", g.dir+"/key")
	fingerprint := ssh.FingerprintSHA256(g.key.PublicKey())
	got := g.ssh("", "-A", "-o", "IdentityAgent="+socket, "vm", "ssh-add -l; echo $SSH_AUTH_SOCK")
	if !strings.Contains(got.stdout, fingerprint) {
		t.Fatalf("keys seen in the guest: %+v", got)
	}
	lines := strings.Fields(got.stdout)
	left := filepath.Dir(lines[len(lines)-1])
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Lstat(left); os.IsNotExist(err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was left behind", left)
		}
	}
}
