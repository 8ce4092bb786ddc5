package sshd

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"syscall"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/process"
	"banger.dev/banger/internal/terminal"
)

const (
	maxEnvironmentEntries = 256
	maxEnvironmentBytes   = 64 << 10
)

// session is one "session" channel: requests that prepare it, then one program.
type session struct {
	peer        *peer
	channel     ssh.Channel
	environment []string
	size        *terminal.Size
	running     *process.Running // nil until a program runs, and for sftp
	started     bool
	agent       *agentSocket
}

func newSession(p *peer, channel ssh.Channel) *session {
	return &session{peer: p, channel: channel, environment: []string{
		// Only their presence matters, to shells and prompts that look for it: there is no network under this connection.
		"SSH_CONNECTION=127.0.0.1 0 127.0.0.1 22",
		"SSH_CLIENT=127.0.0.1 0 22",
	}}
}

// serve handles requests until the client closes the channel; then a program that still runs is hung up.
func (s *session) serve(requests <-chan *ssh.Request) {
	for request := range requests {
		ok, then := s.handle(request.Type, request.Payload)
		if request.WantReply {
			_ = request.Reply(ok, nil)
		}
		if then != nil {
			go then()
		}
	}
	if s.running != nil {
		s.running.Signal(syscall.SIGHUP)
	}
	if s.agent != nil {
		s.agent.close()
	}
}

// handle carries out one request. The function that it may return runs the program, after the reply.
func (s *session) handle(kind string, payload []byte) (ok bool, then func()) {
	switch kind {
	case "env":
		var request struct{ Name, Value string }
		return ssh.Unmarshal(payload, &request) == nil && s.addEnvironment(request.Name, request.Value), nil
	case "pty-req":
		var request struct {
			Term                         string
			Columns, Rows, Width, Height uint32
			Modes                        string
		}
		if s.started || ssh.Unmarshal(payload, &request) != nil {
			return false, nil
		}
		s.size = &terminal.Size{Columns: request.Columns, Rows: request.Rows}
		return request.Term == "" || s.addEnvironment("TERM", request.Term), nil
	case "window-change":
		var request struct{ Columns, Rows, Width, Height uint32 }
		if ssh.Unmarshal(payload, &request) != nil || s.running == nil {
			return false, nil
		}
		s.running.Resize(terminal.Size{Columns: request.Columns, Rows: request.Rows})
		return true, nil
	case "signal":
		var request struct{ Name string }
		if ssh.Unmarshal(payload, &request) != nil || s.running == nil || signalNumber(request.Name) == 0 {
			return false, nil
		}
		s.running.Signal(signalNumber(request.Name))
		return true, nil
	case "auth-agent-req@openssh.com":
		return s.forwardAgent(), nil
	case "shell", "exec", "subsystem":
		return s.start(kind, payload)
	}
	return false, nil
}

func (s *session) addEnvironment(name, value string) bool {
	size := len(name) + len(value)
	for _, entry := range s.environment {
		size += len(entry)
	}
	if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) ||
		len(s.environment) >= maxEnvironmentEntries || size > maxEnvironmentBytes {
		return false
	}
	s.environment = append(s.environment, name+"="+value)
	return true
}

func (s *session) forwardAgent() bool {
	if s.agent != nil || s.started {
		return false
	}
	agent, err := listenForAgent(s.peer.conn, s.peer.user)
	if err != nil {
		return false
	}
	s.agent = agent
	return s.addEnvironment("SSH_AUTH_SOCK", agent.path)
}

// start takes the one program of the session.
func (s *session) start(kind string, payload []byte) (ok bool, then func()) {
	var request struct{ Text string }
	if s.started || (kind != "shell" && ssh.Unmarshal(payload, &request) != nil) {
		return false, nil
	}
	switch kind {
	case "subsystem":
		if request.Text != "sftp" {
			return false, nil
		}
		return s.startSFTP()
	case "exec":
		argv, argv0 := s.shellCommand(request.Text)
		return s.startCommand(process.Command{Argv: argv, Argv0: argv0, Terminal: s.size})
	default:
		return s.startCommand(process.Command{Terminal: s.size})
	}
}

// startCommand starts a program as the user of the connection.
func (s *session) startCommand(command process.Command) (ok bool, then func()) {
	s.started = true
	command.Environment, command.User, command.Stdin = s.environment, s.peer.user.Name, true
	// A login starts in the user's home, not in the image's working directory.
	config := s.peer.state.Config()
	config.DefaultWorkdir = ""
	running, err := s.begin(config, command)
	if err != nil {
		return true, func() { s.fail(err) }
	}
	s.running = running
	return true, func() { s.run(running) }
}

// begin starts a command, in a frozen guest once it is thawed. It fails when the connection is over then.
func (s *session) begin(config guest.Config, command process.Command) (*process.Running, error) {
	started, err := s.peer.state.Starting(s.peer.ctx)
	if err != nil {
		return nil, err
	}
	defer started()
	return process.Start(config, command)
}

// shellCommand runs text through the user's shell; an image without any shell gets it as plain words.
func (s *session) shellCommand(text string) (argv []string, argv0 string) {
	shell := process.LoginShell(s.peer.user)
	if shell == "" {
		return splitWords(text), "" // none: process.Start refuses, because there is no shell either
	}
	return []string{shell, "-c", text}, filepath.Base(shell)
}

func (s *session) run(running *process.Running) {
	defer running.Close()
	go func() {
		_, _ = io.Copy(stdinWriter{running}, s.channel)
		running.CloseStdin()
		// What the program does not want is dropped, so that the channel does not stall.
		_, _ = io.Copy(io.Discard, s.channel)
	}()
	exit := running.Output(writeTo(s.channel), writeTo(s.channel.Stderr()))
	if name := signalName(exit.Signal); name != "" {
		s.end("exit-signal", struct {
			Name       string
			CoreDumped bool
			Message    string
			Language   string
		}{Name: name})
		return
	}
	s.exit(exit.Code)
}

// fail tells why nothing could be started, with the status that a shell would give.
func (s *session) fail(err error) {
	var code int
	switch connect.CodeOf(err) {
	case connect.CodeNotFound:
		code = 127
	case connect.CodePermissionDenied:
		code = 126
	default:
		code = 255
	}
	message := err.Error()
	if connectError, ok := err.(*connect.Error); ok {
		message = connectError.Message()
	}
	_, _ = fmt.Fprintf(s.channel.Stderr(), "banger: %s\r\n", message)
	s.exit(code)
}

func (s *session) exit(code int) {
	s.end("exit-status", struct{ Status uint32 }{uint32(code)})
}

func (s *session) end(kind string, payload any) {
	_, _ = s.channel.SendRequest(kind, false, ssh.Marshal(payload))
	_ = s.channel.CloseWrite()
	_ = s.channel.Close()
}

type stdinWriter struct{ running *process.Running }

func (w stdinWriter) Write(data []byte) (int, error) {
	if !w.running.WriteStdin(data) {
		return 0, io.ErrClosedPipe
	}
	return len(data), nil
}

func writeTo(writer io.Writer) func([]byte) error {
	return func(data []byte) error {
		_, err := writer.Write(data)
		return err
	}
}
