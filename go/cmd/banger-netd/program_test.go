// The program itself, between namespaces: a host, an internet, and the network stack of the kernel as a guest.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/gen/banger/netd/v1/netdv1connect"
	"banger.dev/banger/internal/netd/netdtest"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
)

// TestMain is the program too: a test starts itself under another name. Without root the tests run in a user namespace.
func TestMain(m *testing.M) {
	if os.Getenv("BANGER_TEST_NETD") != "" {
		os.Unsetenv("BANGER_TEST_NETD")
		main()
		return
	}
	if os.Geteuid() != 0 {
		again := exec.Command("/proc/self/exe", os.Args[1:]...)
		again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
		again.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		}
		if again.Run() != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// places of a running program.
type program struct {
	t       testing.TB
	dir     string
	command *exec.Cmd
	exited  chan error
	client  netdv1connect.NetdServiceClient
}

// begin the program in a namespace (nil: this one), with a policy in JSON, and wait until it says that it is ready.
func begin(t testing.TB, in *netdtest.Namespace, policy string, more ...string) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir(), exited: make(chan error, 1)}
	config := `{"vmId":"vm-1","startId":"start-1","policy":` + policy + `,"resolvers":["` + resolver + `"]}`
	if err := os.WriteFile(filepath.Join(p.dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ready, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer ready.Close()
	args := append([]string{"--vm-socket", p.path("vm.sock"), "--control-socket", p.path("control.sock"), "--config", p.path("config.json"), "--ready-fd", "3"}, more...)
	p.command = exec.Command("/proc/self/exe", args...)
	p.command.Env = append(os.Environ(), "BANGER_TEST_NETD=1")
	p.command.Stderr = os.Stderr
	p.command.ExtraFiles = []*os.File{theirs}
	start := p.command.Start
	if in != nil {
		err = in.Do(start)
	} else {
		err = start()
	}
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.command.Wait() }()
	t.Cleanup(func() {
		p.command.Process.Kill()
		<-p.exited
	})
	if line, err := bufio.NewReader(ready).ReadString('\n'); line != "ready\n" {
		t.Fatalf("wait for ready: %q, %v", line, err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.path("control.sock"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = netdv1connect.NewNetdServiceClient(&http.Client{Transport: transport}, "http://netd")
	return p
}

const resolver = "192.0.2.1:53"

func (p *program) path(name string) string { return filepath.Join(p.dir, name) }

// status that the program ends with, in time.
func (p *program) status() int {
	p.t.Helper()
	select {
	case err := <-p.exited:
		p.exited <- err
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			return failed.ExitCode()
		}
		return 0
	case <-time.After(20 * time.Second):
		p.t.Fatal("the program did not end")
		return -1
	}
}

func (p *program) vmm() net.Conn {
	p.t.Helper()
	conn, err := net.Dial("unix", p.path("vm.sock"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return conn
}

func TestLifeWithAVMM(t *testing.T) {
	p := begin(t, nil, `{"mode":"MODE_BALANCED"}`)
	for _, name := range []string{"vm.sock", "control.sock"} {
		info, err := os.Stat(p.path(name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	ctx := netdtest.Context(t)
	conn := p.vmm()
	status := func() *netdv1.StatusResponse {
		response, err := p.client.Status(ctx, connect.NewRequest(&netdv1.StatusRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		return response.Msg
	}
	for !status().Attached {
		if ctx.Err() != nil {
			t.Fatal("the VMM is not attached")
		}
	}
	if s := status(); s.VmId != "vm-1" || s.StartId != "start-1" || int(s.Pid) != p.command.Process.Pid || s.PolicyGeneration != 1 || s.Protocol != 1 {
		t.Errorf("status: %v", s)
	}
	if session, err := syscall.Getpgid(p.command.Process.Pid); err != nil || session != p.command.Process.Pid {
		t.Errorf("it is no leader of its session: %d, %v", session, err)
	}
	if _, err := os.Stat(p.path("vm.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a second VMM could connect: %v", err)
	}
	conn.Close()
	if code := p.status(); code != 0 {
		t.Errorf("when the VMM has gone: status %d", code)
	}
	if entries, err := os.ReadDir(p.dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestOtherEnds(t *testing.T) {
	p := begin(t, nil, `{"mode":"MODE_BALANCED"}`, "--connect-timeout", "50ms")
	if code := p.status(); code != 3 {
		t.Errorf("nobody came: status %d", code)
	}
	p = begin(t, nil, `{"mode":"MODE_BALANCED"}`)
	p.vmm()
	if _, err := p.client.Shutdown(netdtest.Context(t), connect.NewRequest(&netdv1.ShutdownRequest{})); err != nil {
		t.Error(err)
	}
	if code := p.status(); code != 0 {
		t.Errorf("shutdown: status %d", code)
	}
	// A VMM that listens, and a socket that a killed one left.
	dir := t.TempDir()
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "qemu.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	command := exec.Command("/proc/self/exe", "--vm-connect", filepath.Join(dir, "qemu.sock"), "--control-socket", filepath.Join(dir, "c.sock"), "--config", filepath.Join(dir, "config.json"))
	command.Env = append(os.Environ(), "BANGER_TEST_NETD=1")
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "c.sock"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	vmm, err := left.Accept()
	if err != nil {
		t.Fatal(err)
	}
	vmm.Close()
	if err := command.Wait(); err != nil {
		t.Errorf("connected to a VMM: %v", err)
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"readable by others": {`{"policy":{"mode":"MODE_OPEN"}}`, 0o644},
		"an unknown field":   {`{"policy":{"mode":"MODE_OPEN"},"x":1}`, 0o600},
		"an unknown mode":    {`{"policy":{"mode":"MODE_OPENED"}}`, 0o600},
		"no mode":            {`{"policy":{}}`, 0o600},
		"a bad target":       {`{"policy":{"mode":"MODE_OPEN","rules":[{"action":"ACTION_DENY","target":"10.0.0.1/8"}]}}`, 0o600},
		"no action":          {`{"policy":{"mode":"MODE_OPEN","rules":[{"target":"10.0.0.1"}]}}`, 0o600},
		"a bad resolver":     {`{"resolvers":["dns"]}`, 0o600},
		"nothing":            {``, 0o600},
	} {
		dir := t.TempDir()
		config := filepath.Join(dir, "config.json")
		if err := os.WriteFile(config, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		command := exec.Command("/proc/self/exe", "--vm-socket", filepath.Join(dir, "v"), "--control-socket", filepath.Join(dir, "c"), "--config", config)
		command.Env = append(os.Environ(), "BANGER_TEST_NETD=1")
		output, err := command.CombinedOutput()
		if command.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v, %s", name, err, output)
		}
	}
}

// parsed is a policy of the contract.
func parsed(t testing.TB, text string) *netdv1.Policy {
	t.Helper()
	var p netdv1.Policy
	if err := protojson.Unmarshal([]byte(text), &p); err != nil || !json.Valid([]byte(text)) {
		t.Fatal(err)
	}
	return &p
}
