// Package process runs commands in the guest: it resolves user, environment, directory and program, connects pipes or a
// terminal, carries the bytes with backpressure, and ends everything a command started when its caller goes away.
package process

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"

	"connectrpc.com/connect"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/realm"
	"banger.dev/banger/internal/terminal"
)

// stdinQueueChunks lets a signal overtake this many stdin messages that the process has not read yet.
const stdinQueueChunks = 16

type execStream = connect.BidiStream[agentv1.ExecRequest, agentv1.ExecResponse]

// Service implements agentv1connect.ProcessServiceHandler.
type Service struct {
	state *guest.State
	calls calls
}

var _ agentv1connect.ProcessServiceHandler = (*Service)(nil)

// NewService returns the handler of ProcessService. Exec is refused (failed_precondition) until the guest runs, and waits in one that is
// frozen.
func NewService(state *guest.State) *Service { return &Service{state: state} }

// Exec implements ProcessService.
func (s *Service) Exec(ctx context.Context, stream *execStream) error {
	first, err := stream.Receive()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("the first exec request must be start"))
	}
	if err := s.state.AwaitThaw(ctx); err != nil {
		return connect.NewError(connect.CodeCanceled, err)
	}
	if phase := s.state.Phase(); phase != agentv1.Phase_PHASE_RUNNING && phase != agentv1.Phase_PHASE_FROZEN {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("guest is in phase "+guest.PhaseName(phase)+", not running"))
	}
	running, err := s.start(commandOf(start), caller{ctx: ctx, stopSignal: stopSignalOf(start)})
	if err != nil {
		return err
	}
	defer s.calls.remove(running)
	defer running.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Not deferred: the process is killed by a cancellation only, never by the end of this call.
	untrack := context.AfterFunc(ctx, running.Kill)

	var sending sync.Mutex
	send := func(response *agentv1.ExecResponse) error {
		sending.Lock()
		defer sending.Unlock()
		err := stream.Send(response)
		if err != nil {
			cancel()
		}
		return err
	}
	_ = send(&agentv1.ExecResponse{Message: &agentv1.ExecResponse_StartedPid{StartedPid: uint32(realm.PID(running.PID()))}})
	go receive(stream, running, start.GetStdin(), cancel)
	exit := running.Output(
		func(data []byte) error {
			return send(&agentv1.ExecResponse{Message: &agentv1.ExecResponse_Stdout{Stdout: data}})
		},
		func(data []byte) error {
			return send(&agentv1.ExecResponse{Message: &agentv1.ExecResponse_Stderr{Stderr: data}})
		},
	)
	untrack()
	if err := ctx.Err(); err != nil {
		return connect.NewError(connect.CodeCanceled, err)
	}
	return send(&agentv1.ExecResponse{Message: &agentv1.ExecResponse_Exit{
		Exit: &agentv1.ExecExit{Code: int32(exit.Code), Signal: int32(exit.Signal)},
	}})
}

// start starts the command of a call that lasts as long as the caller's ctx. The caller removes it from the calls.
func (s *Service) start(command Command, by caller) (*Running, error) {
	started, err := s.state.Starting(by.ctx)
	if err != nil {
		return nil, connect.NewError(connect.CodeCanceled, err)
	}
	defer started()
	running, err := Start(s.state.Config(), command)
	if err == nil {
		s.calls.add(running, by)
	}
	return running, err
}

// receive carries out the client's requests until the stream or the process ends. It ends itself: the stream fails when
// the handler returns.
func receive(stream *execStream, running *Running, withStdin bool, cancel func()) {
	stdin := make(chan []byte, stdinQueueChunks)
	defer close(stdin)
	go feed(running, stdin)
	for {
		request, err := stream.Receive()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			cancel()
			return
		}
		switch message := request.Message.(type) {
		case *agentv1.ExecRequest_Stdin:
			if !withStdin || len(message.Stdin) == 0 {
				continue
			}
			select {
			case stdin <- message.Stdin:
			case <-running.Done():
			}
		case *agentv1.ExecRequest_StdinEof:
			if message.StdinEof {
				select {
				case stdin <- nil:
				case <-running.Done():
				}
			}
		case *agentv1.ExecRequest_Resize:
			running.Resize(sizeOf(message.Resize))
		case *agentv1.ExecRequest_Signal:
			if isSignal(message.Signal) {
				running.Signal(syscall.Signal(message.Signal))
			}
		}
	}
}

// feed writes the queue to the process's stdin; nil and the end of the queue close it. What a process that closed its
// stdin does not take is dropped, so that the rest of the stream goes on.
func feed(running *Running, stdin <-chan []byte) {
	readable, ended := true, false
	for data := range stdin {
		switch {
		case data == nil:
			running.CloseStdin()
			ended = true
			readable = running.terminal != nil
		case readable:
			readable = running.WriteStdin(data)
			ended = false
		}
	}
	if readable && !ended {
		running.CloseStdin()
	}
}

func commandOf(start *agentv1.ExecStart) Command {
	command := Command{
		Argv:        start.GetArgv(),
		Environment: start.GetEnvironment(),
		Cwd:         start.GetCwd(),
		User:        start.GetUser(),
		Stdin:       start.GetStdin(),
	}
	if start.GetTerminal() != nil {
		size := sizeOf(start.GetTerminal())
		command.Terminal = &size
	}
	return command
}

// stopSignalOf is 0 when there is none.
func stopSignalOf(start *agentv1.ExecStart) syscall.Signal {
	if number := start.GetStopSignal(); isSignal(number) {
		return syscall.Signal(number)
	}
	return 0
}

func isSignal(number int32) bool { return number > 0 && number <= 64 }

func sizeOf(size *agentv1.TerminalSize) terminal.Size {
	return terminal.Size{Columns: size.GetColumns(), Rows: size.GetRows()}
}
