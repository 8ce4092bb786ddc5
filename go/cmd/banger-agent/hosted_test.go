package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"banger.dev/banger/internal/channeltest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"connectrpc.com/connect"
)

const (
	asAgent = "BANGER_TEST_AS_AGENT"
	limit   = 30 * time.Second
)

// The test's own program is the agent that the tests talk to.
func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type hosted struct {
	t       *testing.T
	ctx     context.Context
	socket  string
	command *exec.Cmd
}

func startHosted(t *testing.T) *hosted {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	h := &hosted{t: t, ctx: ctx, socket: filepath.Join(t.TempDir(), "s")}
	h.command = exec.Command(os.Args[0], "serve", "--socket", h.socket)
	h.command.Env = append(os.Environ(), asAgent+"=1")
	h.command.Stderr = os.Stderr
	if err := h.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.command.Process.Kill()
		_ = h.command.Wait()
	})
	return h
}

// connect waits until the agent listens.
func (h *hosted) connect() *channeltest.Host {
	h.t.Helper()
	for {
		conn, err := net.Dial("unix", h.socket)
		if err == nil {
			host, err := channeltest.Connect(h.ctx, conn)
			if err != nil {
				h.t.Fatal(err)
			}
			h.t.Cleanup(func() { host.Close() })
			return host
		}
		if h.ctx.Err() != nil {
			h.t.Fatalf("the agent does not listen on %s: %v", h.socket, err)
		}
		time.Sleep(time.Millisecond)
	}
}

// start runs argv and returns what it says first on stdout; the process goes on.
func (h *hosted) start(host *channeltest.Host, argv ...string) string {
	h.t.Helper()
	stream := host.Process.Exec(h.ctx)
	start := &agentv1.ExecStart{Argv: argv}
	if err := stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Start{Start: start}}); err != nil {
		h.t.Fatal(err)
	}
	for {
		response, err := stream.Receive()
		if err != nil {
			h.t.Fatal(err)
		}
		if out := response.GetStdout(); out != nil {
			return strings.TrimSpace(string(out))
		}
	}
}

func TestHostedAgentRunsAndCannotBeConfigured(t *testing.T) {
	h := startHosted(t)
	host := h.connect()
	reply, err := host.Agent.Hello(h.ctx, connect.NewRequest(&agentv1.HelloRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if reply.Msg.Phase != agentv1.Phase_PHASE_RUNNING || reply.Msg.Protocol != 1 || reply.Msg.KernelRelease == "" {
		t.Errorf("hello answered %v", reply.Msg)
	}
	_, err = host.Agent.Configure(h.ctx, connect.NewRequest(&agentv1.ConfigureRequest{}))
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("configure answered %v", err)
	}
	stats, err := host.Agent.Stats(h.ctx, connect.NewRequest(&agentv1.StatsRequest{}))
	if err != nil || stats.Msg.MemoryTotalBytes == 0 || len(stats.Msg.Disks) == 0 || stats.Msg.Processes == 0 {
		t.Errorf("stats answered %v, %v", stats, err)
	}
	if health, err := host.Agent.Health(h.ctx, connect.NewRequest(&agentv1.HealthRequest{})); err != nil || !health.Msg.Healthy {
		t.Errorf("health answered %v, %v", health, err)
	}
}

func TestAHostThatVanishesTakesItsProcessesAlong(t *testing.T) {
	h := startHosted(t)
	host := h.connect()
	pid := h.start(host, "/bin/sh", "-c", "echo $$; exec sleep 1000")
	host.Close()
	// The next host is served, and sees the process go.
	next := h.connect()
	if got := h.start(next, "/bin/sh", "-c", "while kill -0 "+pid+" 2>/dev/null; do sleep 0.01; done; echo gone"); got != "gone" {
		t.Errorf("got %q", got)
	}
}

func TestShutdownIsAnsweredAndEndsTheAgent(t *testing.T) {
	h := startHosted(t)
	host := h.connect()
	if _, err := host.Agent.Shutdown(h.ctx, connect.NewRequest(&agentv1.ShutdownRequest{})); err != nil {
		t.Fatal(err)
	}
	state, err := h.command.Process.Wait()
	if err != nil || !state.Success() {
		t.Errorf("the agent ended with %v, %v", state, err)
	}
}
