// Package life is the guest's own service: who it is, its one configuration, how it does, and its end.
package life

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"banger.dev/banger/internal/channel"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/network"
	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/step"
	"connectrpc.com/connect"
	"golang.org/x/sys/unix"
)

// Protocol grows with an incompatible change of the contract.
const Protocol = 1

// Machine is what carries the guest: a microVM with this program as PID 1, or a developer's machine.
type Machine interface {
	// Assemble puts the root of a waiting guest together and enters it. It is called at most once, before Configure.
	Assemble(plan *AssemblePlan, log *step.Log) error
	// Configure makes a waiting guest a running one. It is called at most once.
	Configure(plan *Plan, log *step.Log) error
	// Sync writes what lies in caches to the disks.
	Sync() error
	// Grow makes the file systems as large as their disks, once those have at least the sizes given.
	Grow(ctx context.Context, overlayBytes, workBytes uint64) error
	// SetNetwork changes the guest's interface and the servers that it asks for names; nil takes the interface down.
	SetNetwork(wanted *network.Interface, nameServers []string) error
	// Freeze stops every process but the agent, and says how many. When it fails everything runs.
	Freeze() (processes int, err error)
	// Rehearse does in a frozen machine what Prepare will, as far as nobody can see it, and nobody can keep it waiting.
	Rehearse()
	// Prepare puts everything of the plan in place, in a frozen machine.
	Prepare(plan *ThawPlan, log *step.Log) error
	// Thaw undoes Freeze.
	Thaw() error
	// Kill ends every process of a frozen machine at once.
	Kill()
	// Stop ends processes and leaves the disks clean, within the grace and a few seconds.
	Stop(grace time.Duration)
	// End ends the machine. It does not return.
	End()
	// Disks says how full the guest's disks are.
	Disks() []rootfs.Usage
}

// Service implements agentv1connect.AgentServiceHandler.
type Service struct {
	state    *guest.State
	machine  Machine
	version  string
	prepared <-chan struct{}
	ready    atomic.Int64
	bootID   string
	uname    unix.Utsname
	// freezing is held by calls that freeze or thaw.
	freezing sync.Mutex
	// endAbandoned ends what runs for callers of sessions that are over.
	endAbandoned func(limit time.Duration) error
	// rehearsal is a call as the host will make next; nil for none. A guest goes through it, and what it does for a thaw, once when it
	// wakes up from a capture, beside what the host asks of it. rehearsed says that it was begun since the last freeze, rehearsing
	// counts those under way.
	rehearsal  func()
	rehearsed  bool
	rehearsing sync.WaitGroup
	// stopMain asks the processes that are to end before all others.
	stopMain func(limit time.Duration)
}

// NewService makes the service. Hello waits for prepared: a host may take a template as soon as Hello is answered.
func NewService(state *guest.State, machine Machine, version string, prepared <-chan struct{}) *Service {
	s := &Service{state: state, machine: machine, version: version, prepared: prepared}
	s.endAbandoned = func(time.Duration) error { return nil }
	s.stopMain = func(time.Duration) {}
	// Read once: while the root is being entered, /proc has no path.
	s.bootID = identity.BootID()
	_ = unix.Uname(&s.uname)
	return s
}

// EndBeforeThaw sets what ends the processes of callers that are gone. Set it before the first call is served.
func (s *Service) EndBeforeThaw(endAbandoned func(limit time.Duration) error) {
	s.endAbandoned = endAbandoned
}

// RehearseWhenFrozen has a guest that wakes up frozen rehearse its thaw, and before that this call. It must run nothing of the guest's
// users, and wait for none of their file systems: those are frozen, and not to see the guest before it is another machine. Set it before
// the first call is served. Without it nothing is rehearsed.
func (s *Service) RehearseWhenFrozen(call func()) {
	s.rehearsal = call
}

// EndBeforeOthers sets what asks the main processes to end, and waits for them. Set it before the first call is served.
func (s *Service) EndBeforeOthers(stopMain func(limit time.Duration)) {
	s.stopMain = stopMain
}

// Listening notes the moment at which the guest can take calls.
func (s *Service) Listening() { s.ready.Store(int64(Uptime())) }

func (s *Service) Hello(ctx context.Context, _ *connect.Request[agentv1.HelloRequest]) (*connect.Response[agentv1.HelloResponse], error) {
	select {
	case <-s.prepared:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	config := s.state.Config()
	return connect.NewResponse(&agentv1.HelloResponse{
		AgentVersion:  s.version,
		Protocol:      Protocol,
		Phase:         s.state.Phase(),
		BootId:        cmp.Or(config.BootID, s.bootID),
		KernelRelease: unix.ByteSliceToString(s.uname.Release[:]),
		Architecture:  unix.ByteSliceToString(s.uname.Machine[:]),
		Failure:       s.state.Failure(),
		VmId:          config.VMID,
		ReadyUptimeMs: uint64(time.Duration(s.ready.Load()).Milliseconds()),
	}), nil
}

// Assemble goes on to its end when the host goes away meanwhile: the guest is of no use then.
func (s *Service) Assemble(ctx context.Context, request *connect.Request[agentv1.AssembleRequest]) (*connect.Response[agentv1.AssembleResponse], error) {
	select {
	case <-s.prepared:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	plan, invalid := ParseAssemble(request.Msg)
	if invalid != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, invalid)
	}
	if err := s.state.BeginConfigure(guest.Config{}); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	log := &step.Log{}
	if err := s.machine.Assemble(plan, log); err != nil {
		s.state.Fail(err.Error())
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	s.state.Assembled()
	return connect.NewResponse(&agentv1.AssembleResponse{Steps: describeSteps(log)}), nil
}

// Configure goes on to its end when the host goes away meanwhile; the next Hello shows how it ended.
func (s *Service) Configure(ctx context.Context, request *connect.Request[agentv1.ConfigureRequest]) (*connect.Response[agentv1.ConfigureResponse], error) {
	select {
	case <-s.prepared:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	plan, invalid := ParsePlan(request.Msg)
	if err := s.state.BeginConfigure(plan.Guest); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	if invalid != nil {
		s.state.Fail(invalid.Error())
		return nil, connect.NewError(connect.CodeInvalidArgument, invalid)
	}
	log := &step.Log{}
	err := s.machine.Configure(plan, log)
	reply := &agentv1.ConfigureResponse{Steps: describeSteps(log)}
	if err != nil {
		s.state.Fail(err.Error())
		failed := connect.NewError(connect.CodeInternal, err)
		if detail, detailErr := connect.NewErrorDetail(reply); detailErr == nil {
			failed.AddDetail(detail)
		}
		return nil, failed
	}
	s.state.Running()
	return connect.NewResponse(reply), nil
}

func describeSteps(log *step.Log) []*agentv1.ConfigureResponse_Step {
	var steps []*agentv1.ConfigureResponse_Step
	for _, done := range log.Steps() {
		steps = append(steps, &agentv1.ConfigureResponse_Step{
			Name:       done.Name,
			DurationUs: uint32(min(done.Duration.Microseconds(), 1<<32-1)),
		})
	}
	return steps
}

const (
	defaultGrace = 2 * time.Second
	maxGrace     = time.Minute
	replyLimit   = time.Second
)

// Shutdown answers when the disks are clean: what remains then can be cut off without harm.
func (s *Service) Shutdown(ctx context.Context, request *connect.Request[agentv1.ShutdownRequest]) (*connect.Response[agentv1.ShutdownResponse], error) {
	frozen := s.state.Phase() == agentv1.Phase_PHASE_FROZEN
	if !s.state.BeginStop() {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("guest is stopping already"))
	}
	grace := time.Duration(request.Msg.GraceMs) * time.Millisecond
	if grace == 0 {
		grace = defaultGrace
	}
	if frozen {
		// They cannot be asked, and must not run in a guest that is not thawed.
		s.machine.Kill()
	} else if limit := time.Duration(request.Msg.MainGraceMs) * time.Millisecond; limit > 0 {
		s.stopMain(min(limit, maxGrace))
	}
	s.machine.Stop(min(grace, maxGrace))
	channel.AfterReply(ctx, replyLimit, s.machine.End)
	return connect.NewResponse(&agentv1.ShutdownResponse{}), nil
}

// StopNow is a shutdown that the guest itself asked for, by a signal to PID 1.
func (s *Service) StopNow() {
	if s.state.BeginStop() {
		s.machine.Stop(defaultGrace)
		s.machine.End()
	}
}
