package process

import (
	"strings"
	"testing"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/guest"
)

func TestTerminal(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{
		Argv:     []string{"sh", "-c", `trap 'stty size' WINCH; stty -echo; stty size; tty; echo $TERM; echo err >&2; echo >/dev/tty; while ! read line; do :; done; echo got $line; cat; exit 7`},
		Terminal: &agentv1.TerminalSize{Columns: 101, Rows: 31}, Stdin: true,
	})
	running.until("err\r\n")
	for _, want := range []string{"31 101\r\n", "/dev/pts/", "xterm-256color\r\n"} {
		if !strings.Contains(running.stdout.String(), want) {
			t.Errorf("terminal printed %q, without %q", running.stdout.String(), want)
		}
	}
	running.send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Resize{Resize: &agentv1.TerminalSize{Columns: 77, Rows: 22}}})
	running.stdin("words\n")
	running.until("got words")
	running.until("22 77\r\n")
	running.eof()
	if exit := running.finish(); exit.Code != 7 || running.stderr.Len() != 0 {
		t.Errorf("exit %v, stderr %q", exit, running.stderr.String())
	}
}

func TestTerminalOutputIsComplete(t *testing.T) {
	client := newClient(t, guest.Config{})
	for range 20 {
		got := run(t, client, &agentv1.ExecStart{
			Argv:     []string{"sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; exit 5"},
			Terminal: &agentv1.TerminalSize{Columns: 80, Rows: 24},
		})
		if got.stdout.Len() != 300000 || got.exit.Code != 5 {
			t.Fatalf("%d bytes, exit %v", got.stdout.Len(), got.exit)
		}
	}
}

func TestTerminalWithoutStdin(t *testing.T) {
	got := run(t, newClient(t, guest.Config{}), &agentv1.ExecStart{
		Argv:     []string{"sh", "-c", `test -t 0 || echo no stdin; cat; stty size <&1; echo to the terminal >/dev/tty; exit 3`},
		Terminal: &agentv1.TerminalSize{Columns: 80, Rows: 24},
	})
	if want := "no stdin\r\n24 80\r\nto the terminal\r\n"; got.exit.Code != 3 || !strings.HasPrefix(got.stdout.String(), want) {
		t.Errorf("exit %v, stdout %q", got.exit, got.stdout.String())
	}
}

func TestTerminalInterrupt(t *testing.T) {
	running := begin(t, newClient(t, guest.Config{}), &agentv1.ExecStart{
		// Not one long sleep: dash puts off an interrupt that comes just before its fork until the child ends.
		Argv: []string{"sh", "-c", "trap 'exit 44' INT; echo up; while :; do sleep 0.01; done"}, Terminal: &agentv1.TerminalSize{Columns: 80, Rows: 24}, Stdin: true,
	})
	running.until("up")
	running.stdin("\x03")
	if exit := running.finish(); exit.Code != 44 {
		t.Errorf("exit %v, want 44", exit)
	}
}
