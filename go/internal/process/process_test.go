package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/agenttest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/guest"
)

const patience = 20 * time.Second

func newClient(t *testing.T, config guest.Config) agentv1connect.ProcessServiceClient {
	t.Helper()
	return newClientOf(t, guest.NewRunning(config))
}

func newClientOf(t *testing.T, state *guest.State) agentv1connect.ProcessServiceClient {
	t.Helper()
	path, handler := agentv1connect.NewProcessServiceHandler(NewService(state), agenttest.HandlerOption)
	return agentv1connect.NewProcessServiceClient(agenttest.Serve(t, path, handler), agenttest.URL)
}

type execution struct {
	t      *testing.T
	stream *connect.BidiStreamForClient[agentv1.ExecRequest, agentv1.ExecResponse]
	cancel context.CancelFunc

	pid            int
	stdout, stderr bytes.Buffer
	exit           *agentv1.ExecExit
}

func begin(t *testing.T, client agentv1connect.ProcessServiceClient, start *agentv1.ExecStart) *execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	stream := client.Exec(ctx)
	if err := stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Start{Start: start}}); err != nil {
		t.Fatal(err)
	}
	running := &execution{t: t, stream: stream, cancel: cancel}
	t.Cleanup(running.abort)
	return running
}

// abort resets the stream. Cancelling the context alone does not: net/http notices it when the body is next touched.
func (e *execution) abort() {
	e.cancel()
	_ = e.stream.CloseResponse()
}

func (e *execution) send(request *agentv1.ExecRequest) {
	e.t.Helper()
	if err := e.stream.Send(request); err != nil && !errors.Is(err, io.EOF) {
		e.t.Fatal(err)
	}
}

func (e *execution) stdin(text string) {
	e.t.Helper()
	e.send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Stdin{Stdin: []byte(text)}})
}

func (e *execution) eof() {
	e.t.Helper()
	e.send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_StdinEof{StdinEof: true}})
}

// next receives one response; it returns false at the end of the stream.
func (e *execution) next() (bool, error) {
	response, err := e.stream.Receive()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if e.exit != nil {
		e.t.Errorf("response after exit: %v", response)
	}
	switch message := response.Message.(type) {
	case *agentv1.ExecResponse_StartedPid:
		e.pid = int(message.StartedPid)
	case *agentv1.ExecResponse_Stdout:
		e.stdout.Write(message.Stdout)
	case *agentv1.ExecResponse_Stderr:
		e.stderr.Write(message.Stderr)
	case *agentv1.ExecResponse_Exit:
		e.exit = message.Exit
	}
	return true, nil
}

// until receives until stdout holds text.
func (e *execution) until(text string) {
	e.t.Helper()
	for !strings.Contains(e.stdout.String(), text) {
		if more, err := e.next(); err != nil || !more {
			e.t.Fatalf("stream ended (%v) before %q; stdout %q, stderr %q", err, text, e.stdout.String(), e.stderr.String())
		}
	}
}

func (e *execution) finish() *agentv1.ExecExit {
	e.t.Helper()
	for {
		more, err := e.next()
		if err != nil {
			e.t.Fatalf("exec failed: %v", err)
		}
		if !more {
			break
		}
	}
	if e.exit == nil {
		e.t.Fatal("stream ended without exit")
	}
	return e.exit
}

func run(t *testing.T, client agentv1connect.ProcessServiceClient, start *agentv1.ExecStart) *execution {
	t.Helper()
	execution := begin(t, client, start)
	execution.finish()
	return execution
}

func shell(script string) *agentv1.ExecStart {
	return &agentv1.ExecStart{Argv: []string{"sh", "-c", script}}
}

func TestExitCodes(t *testing.T) {
	client := newClient(t, guest.Config{})
	for code := range 256 {
		if got := run(t, client, shell("exit "+strconv.Itoa(code))).exit; got.Code != int32(code) || got.Signal != 0 {
			t.Errorf("exit %d arrived as %v", code, got)
		}
	}
}

func TestSignalDeath(t *testing.T) {
	client := newClient(t, guest.Config{})
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSEGV} {
		running := begin(t, client, shell("echo up; sleep 60 & wait"))
		running.until("up")
		running.send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Signal{Signal: int32(signal)}})
		if got := running.finish(); got.Code != 128+int32(signal) || got.Signal != int32(signal) {
			t.Errorf("death by %v arrived as %v", signal, got)
		}
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), shell(`trap 'echo parent; wait; exit 3' USR1; sh -c 'trap "echo child; exit" USR1; echo up; while :; do sleep 0.01; done' & wait`))
	running.until("up")
	running.send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Signal{Signal: int32(syscall.SIGUSR1)}})
	if exit := running.finish(); exit.Code != 3 {
		t.Errorf("exit %v, want 3", exit)
	}
	if output := running.stdout.String(); !strings.Contains(output, "child") || !strings.Contains(output, "parent") {
		t.Errorf("the signal reached only: %q", output)
	}
}

func TestBinaryStreams(t *testing.T) {
	data := make([]byte, 6<<20+123)
	_, _ = rand.Read(data)
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{
		Argv: []string{"sh", "-c", `tee /dev/fd/3 3>&2; exit 5`}, Stdin: true,
	})
	go func() {
		for rest := data; len(rest) > 0; {
			count := min(len(rest), 50_001)
			_ = running.stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Stdin{Stdin: rest[:count]}})
			rest = rest[count:]
		}
		_ = running.stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_StdinEof{StdinEof: true}})
	}()
	if exit := running.finish(); exit.Code != 5 {
		t.Errorf("exit %v, want 5", exit)
	}
	want := sha256.Sum256(data)
	for name, got := range map[string][]byte{"stdout": running.stdout.Bytes(), "stderr": running.stderr.Bytes()} {
		if sha256.Sum256(got) != want {
			t.Errorf("%s: %d bytes that differ from the %d of stdin", name, len(got), len(data))
		}
	}
}

func TestStreamsStayApart(t *testing.T) {
	got := run(t, newClient(t, guest.Config{}), shell("echo out; echo err >&2; cat"))
	if got.stdout.String() != "out\n" || got.stderr.String() != "err\n" {
		t.Errorf("stdout %q, stderr %q", got.stdout.String(), got.stderr.String())
	}
}

func TestLastOutputIsComplete(t *testing.T) {
	client := newClient(t, guest.Config{})
	for range 20 {
		got := run(t, client, shell("head -c 300000 /dev/zero; kill -9 $$"))
		if got.stdout.Len() != 300000 || got.exit.Code != 137 {
			t.Fatalf("%d bytes, exit %v", got.stdout.Len(), got.exit)
		}
	}
}

func TestClosedStdinDoesNotBreakTheStream(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{
		Argv: []string{"sh", "-c", "exec <&-; echo closed; read line <$FIFO; echo $line"}, Stdin: true,
		Environment: []string{"FIFO=" + fifo(t)},
	})
	running.until("closed")
	for range 40 {
		running.stdin(strings.Repeat("x", 60_000))
	}
	if err := os.WriteFile(fifoOf(t), []byte("done\n"), 0); err != nil {
		t.Fatal(err)
	}
	if exit := running.finish(); exit.Code != 0 || !strings.Contains(running.stdout.String(), "done") {
		t.Errorf("exit %v, stdout %q", exit, running.stdout.String())
	}
}

// A client that does not read stops the process, and the agent holds no more than the windows of the connection.
func TestSlowClientBlocksTheProcess(t *testing.T) {
	const total = 100 << 20
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{Argv: []string{"head", "-c", strconv.Itoa(total), "/dev/zero"}})
	if _, err := running.next(); err != nil || running.pid == 0 {
		t.Fatalf("pid %d, %v", running.pid, err)
	}
	written, unchanged := "", 0
	for end := time.Now().Add(patience); unchanged < 20; time.Sleep(5 * time.Millisecond) {
		io, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", running.pid))
		if err != nil {
			t.Fatalf("the process did not wait for its client: %v", err)
		}
		now := strings.Split(string(io), "\n")[1]
		if now == written {
			unchanged++
		} else {
			written, unchanged = now, 0
		}
		if time.Now().After(end) {
			t.Fatalf("the process never stopped writing: %s", written)
		}
	}
	var count int
	if _, err := fmt.Sscanf(written, "wchar: %d", &count); err != nil || count > 16<<20 {
		t.Errorf("%q before the client read anything, %v", written, err)
	}
	if exit := running.finish(); exit.Code != 0 || running.stdout.Len() != total {
		t.Errorf("exit %v after %d bytes", exit, running.stdout.Len())
	}
}

func TestSignalOvertakesUnreadStdin(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{Argv: []string{"sleep", "60"}, Stdin: true})
	for range 8 {
		running.stdin(strings.Repeat("x", 60_000))
	}
	running.send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Signal{Signal: int32(syscall.SIGTERM)}})
	if exit := running.finish(); exit.Code != 143 {
		t.Errorf("exit %v, want 143", exit)
	}
}

func TestBackgroundProcessDoesNotHoldExec(t *testing.T) {
	path := fifo(t)
	running := begin(t, newClient(t, guest.Config{}), shell(`(trap "echo piped >`+path+`" PIPE; read go <`+path+`; echo noise; echo alive >`+path+`) & echo main; exit 4`))
	if exit := running.finish(); exit.Code != 4 || running.stdout.String() != "main\n" {
		t.Errorf("exit %v, stdout %q", exit, running.stdout.String())
	}
	// The background process lives on, and writing to the output that nobody listens to does not end it.
	if err := os.WriteFile(path, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	if word, err := os.ReadFile(path); err != nil || string(word) != "alive\n" {
		t.Errorf("background process said %q, %v", word, err)
	}
}

func TestEndlessBackgroundOutputEnds(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), shell("yes & echo pid $! >&2; exit 6"))
	if exit := running.finish(); exit.Code != 6 {
		t.Errorf("exit %v, want 6", exit)
	}
	var pid int
	if _, err := fmt.Sscanf(running.stderr.String(), "pid %d", &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the background process did not live on: %v", err)
	}
}

func TestCancelKillsEverything(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), shell(`
		trap "" TERM HUP INT
		sh -c 'trap "" TERM HUP INT; echo pid $$; sleep 60; :' &
		setsid sh -c 'echo pid $$; sleep 60; :' &
		set -m; sh -c 'echo pid $$; sleep 60; :' & set +m
		echo pid $$; wait`))
	var pids []int
	for len(pids) < 4 {
		if _, err := running.next(); err != nil {
			t.Fatal(err)
		}
		pids = pids[:0]
		for _, line := range strings.Split(running.stdout.String(), "\n") {
			var pid int
			if _, err := fmt.Sscanf(line, "pid %d", &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	running.abort()
	for _, pid := range pids {
		awaitGone(t, pid)
	}
}

func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("process still runs: %s", stat)
		}
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"plain": 0o644, "garbage": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("\x00\x01"), mode); err != nil {
			t.Fatal(err)
		}
	}
	missingInterpreter := filepath.Join(dir, "script")
	if err := os.WriteFile(missingInterpreter, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, guest.Config{})
	for name, test := range map[string]struct {
		start *agentv1.ExecStart
		code  connect.Code
		text  string
	}{
		"not in PATH":         {&agentv1.ExecStart{Argv: []string{"no-such-command"}}, connect.CodeNotFound, `command "no-such-command": not found in PATH`},
		"PATH of the process": {&agentv1.ExecStart{Argv: []string{"sh"}, Environment: []string{"PATH=" + dir}}, connect.CodeNotFound, dir},
		"empty word":          {&agentv1.ExecStart{Argv: []string{""}}, connect.CodeInvalidArgument, "empty"},
		"missing path":        {&agentv1.ExecStart{Argv: []string{"/no/such"}}, connect.CodeNotFound, `"/no/such"`},
		"no interpreter":      {&agentv1.ExecStart{Argv: []string{missingInterpreter}}, connect.CodeNotFound, "no such file"},
		"not executable":      {&agentv1.ExecStart{Argv: []string{dir + "/plain"}}, connect.CodePermissionDenied, "not executable"},
		"no format":           {&agentv1.ExecStart{Argv: []string{dir + "/garbage"}}, connect.CodePermissionDenied, "exec format error"},
		"directory":           {&agentv1.ExecStart{Argv: []string{dir}}, connect.CodePermissionDenied, "is a directory"},
		"missing cwd":         {&agentv1.ExecStart{Argv: []string{"true"}, Cwd: "/no/such"}, connect.CodeFailedPrecondition, `working directory "/no/such": no such file`},
		"relative cwd":        {&agentv1.ExecStart{Argv: []string{"true"}, Cwd: "tmp"}, connect.CodeInvalidArgument, "absolute"},
		"cwd is a file":       {&agentv1.ExecStart{Argv: []string{"true"}, Cwd: dir + "/plain"}, connect.CodeFailedPrecondition, "not a directory"},
		"unknown user":        {&agentv1.ExecStart{Argv: []string{"true"}, User: "no-such-user"}, connect.CodeInvalidArgument, `"no-such-user"`},
		"bad environment":     {&agentv1.ExecStart{Argv: []string{"true"}, Environment: []string{"X"}}, connect.CodeInvalidArgument, "NAME=value"},
	} {
		t.Run(name, func(t *testing.T) {
			running := begin(t, client, test.start)
			_, err := running.next()
			if connect.CodeOf(err) != test.code || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v; want %v with %q", err, test.code, test.text)
			}
		})
	}
}

func TestFirstRequestMustBeStart(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream := newClient(t, guest.Config{}).Exec(ctx)
	_ = stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Stdin{Stdin: []byte("x")}})
	if _, err := stream.Receive(); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("stdin before start: %v", err)
	}
}

func TestRefusedBeforeTheGuestRuns(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client := newClientOf(t, guest.NewWaiting())
	stream := client.Exec(ctx)
	_ = stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Start{Start: shell("true")}})
	if _, err := stream.Receive(); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("exec in phase waiting: %v", err)
	}
}

func TestIdentityAndEnvironment(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("changing the user needs root")
	}
	dir := "/var"
	client := newClient(t, guest.Config{Environment: []string{"A=image", "B=image"}, DefaultUser: "1234:4321", DefaultWorkdir: dir})
	got := run(t, client, &agentv1.ExecStart{
		Argv:        []string{"sh", "-c", `id -u; id -g; id -G; echo $A $B $HOME; pwd; echo x > /dev/stdout`},
		Environment: []string{"B=own"},
	})
	if want := "1234\n4321\n4321\nimage own /\n" + dir + "\nx\n"; got.stdout.String() != want {
		t.Errorf("printed %q, want %q; stderr %q", got.stdout.String(), want, got.stderr.String())
	}
	private := t.TempDir()
	if err := os.Chmod(private, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := begin(t, client, &agentv1.ExecStart{Argv: []string{"true"}, Cwd: private}).next()
	if connect.CodeOf(err) != connect.CodePermissionDenied || !strings.Contains(err.Error(), private) {
		t.Errorf("directory of somebody else: %v", err)
	}
	got = run(t, client, &agentv1.ExecStart{Argv: []string{"sh", "-c", `echo $(id -un) $USER $LOGNAME $HOME $PATH; pwd`}, User: "root", Cwd: "/usr"})
	if want := "root root root /root " + defaultPath + "\n/usr\n"; got.stdout.String() != want {
		t.Errorf("printed %q, want %q", got.stdout.String(), want)
	}
}

func TestRelativeProgramIsFoundInCwd(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\necho tool $0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := run(t, newClient(t, guest.Config{}), &agentv1.ExecStart{Argv: []string{"./tool"}, Cwd: dir})
	if got.stdout.String() != "tool ./tool\n" {
		t.Errorf("printed %q", got.stdout.String())
	}
}

func TestLoginShell(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{Stdin: true})
	running.stdin("echo $0\nexit 9\n")
	if exit := running.finish(); exit.Code != 9 || !strings.HasPrefix(running.stdout.String(), "-") {
		t.Errorf("exit %v, name %q", exit, running.stdout.String())
	}
}

// fifo makes the test's named pipe; fifoOf names it again.
func fifo(t *testing.T) string {
	t.Helper()
	path := fifoOf(t)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}

func fifoOf(t *testing.T) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("banger-process-test-%d-%s", os.Getpid(), t.Name()))
}
