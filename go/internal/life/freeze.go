package life

import (
	"context"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/step"
	"connectrpc.com/connect"
)

// A start takes some milliseconds.
const startLimit = 5 * time.Second

// A host stops the processors sooner than this after its Freeze is answered. In what is restored of it the time has passed.
const rehearsalDelay = 15 * time.Millisecond

// What is killed is gone in no time, but for processes that wait for a device.
const abandonedLimit = 5 * time.Second

// Freeze goes on to its end when the host goes away after the disks were synced; the next Hello shows how it ended.
func (s *Service) Freeze(ctx context.Context, request *connect.Request[agentv1.FreezeRequest]) (*connect.Response[agentv1.FreezeResponse], error) {
	// This may take long: a thaw must not have to wait for it.
	if request.Msg.Sync && s.state.Phase() == agentv1.Phase_PHASE_RUNNING {
		if err := s.machine.Sync(); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
	}
	s.freezing.Lock()
	defer s.freezing.Unlock()
	s.rehearsing.Wait()
	// Who came after a host that is gone has seen a guest that runs, and would not thaw it.
	if err := ctx.Err(); err != nil {
		return nil, connect.NewError(connect.CodeCanceled, err)
	}
	if err := s.state.BeginFreeze(startLimit); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	processes, err := s.machine.Freeze()
	if err != nil {
		s.state.Thawed()
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	s.rehearsed = false
	time.AfterFunc(rehearsalDelay, s.rehearseOnWaking)
	return connect.NewResponse(&agentv1.FreezeResponse{Processes: uint32(processes)}), nil
}

// Thaw goes on to its end when the host goes away meanwhile.
func (s *Service) Thaw(_ context.Context, request *connect.Request[agentv1.ThawRequest]) (*connect.Response[agentv1.ThawResponse], error) {
	plan, err := ParseThaw(request.Msg)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	s.freezing.Lock()
	defer s.freezing.Unlock()
	if err := s.state.CheckFrozen(); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	if plan.Identity != nil {
		s.beginRehearsal()
	}
	log := &step.Log{}
	// Before anything of this machine's past can go on.
	err = log.Run("sessions", func() error { return s.endAbandoned(abandonedLimit) })
	if err == nil {
		err = s.machine.Prepare(plan, log)
	}
	if err == nil {
		if who := plan.Identity; who != nil {
			s.state.Become(who.VMID, who.Hostname, who.BootID)
		}
		err = log.Run("thaw", s.machine.Thaw)
	}
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	s.state.Thawed()
	return connect.NewResponse(&agentv1.ThawResponse{Steps: describeSteps(log)}), nil
}

// rehearseOnWaking begins before the host has found the way to a guest that wakes up from its capture.
func (s *Service) rehearseOnWaking() {
	// Whoever holds it is further than that.
	if !s.freezing.TryLock() {
		return
	}
	defer s.freezing.Unlock()
	if s.state.CheckFrozen() == nil {
		s.beginRehearsal()
	}
}

// beginRehearsal begins it at most once for each freeze. The caller holds freezing.
func (s *Service) beginRehearsal() {
	if s.rehearsed || s.rehearsal == nil {
		return
	}
	s.rehearsed = true
	s.rehearsing.Go(func() {
		s.rehearsal()
		// The machine that was captured goes on at once, and needs none of this.
		if s.state.CheckFrozen() == nil {
			s.machine.Rehearse()
		}
	})
}
