package life

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/step"
	"connectrpc.com/connect"
)

// recorder is a machine that notes what is asked of it, and fails where it is told to.
type recorder struct {
	Hosted
	did   []string
	fails map[string]bool
	// duringSync is called while the disks are synced, rehearsed when the machine is to rehearse.
	duringSync, rehearsed func()
}

func (r *recorder) Rehearse() {
	if r.rehearsed != nil {
		r.rehearsed()
	}
}

func (r *recorder) do(what string) error {
	r.did = append(r.did, what)
	if r.fails[what] {
		return errors.New(what + " went wrong")
	}
	return nil
}

func (r *recorder) Sync() error {
	if r.duringSync != nil {
		r.duringSync()
	}
	return r.do("sync")
}

func (r *recorder) Freeze() (int, error)               { return 3, r.do("freeze") }
func (r *recorder) Prepare(*ThawPlan, *step.Log) error { return r.do("prepare") }
func (r *recorder) Thaw() error                        { return r.do("thaw") }
func (r *recorder) Kill()                              { _ = r.do("kill") }
func (r *recorder) Stop(time.Duration)                 { _ = r.do("stop") }
func (r *recorder) End()                               {}

func newRecorded(fails ...string) (*Service, *guest.State, *recorder) {
	machine := &recorder{fails: map[string]bool{}}
	for _, what := range fails {
		machine.fails[what] = true
	}
	state := guest.NewRunning(guest.Config{VMID: "old", BootID: "old-boot"})
	prepared := make(chan struct{})
	close(prepared)
	service := NewService(state, machine, "test", prepared)
	service.EndBeforeThaw(func(time.Duration) error { return machine.do("end") })
	return service, state, machine
}

func thawRequest() *agentv1.ThawRequest {
	return &agentv1.ThawRequest{
		WallClockUnixNanos: time.Now().UnixNano(), Entropy: make([]byte, 64),
		Identity: &agentv1.Identity{VmId: "new", Hostname: "new", BootId: "12345678-1234-4234-8234-123456789abc"},
	}
}

func freeze(s *Service, sync bool) error {
	_, err := s.Freeze(context.Background(), connect.NewRequest(&agentv1.FreezeRequest{Sync: sync}))
	return err
}

func thaw(s *Service, request *agentv1.ThawRequest) error {
	_, err := s.Thaw(context.Background(), connect.NewRequest(request))
	return err
}

func wantPhase(t *testing.T, state *guest.State, want agentv1.Phase) {
	t.Helper()
	if got := state.Phase(); got != want {
		t.Fatalf("in phase %s, want %s", guest.PhaseName(got), guest.PhaseName(want))
	}
}

func TestFreezeAndThaw(t *testing.T) {
	service, state, machine := newRecorded()
	for range 2 {
		if err := freeze(service, true); err != nil {
			t.Fatal(err)
		}
		wantPhase(t, state, agentv1.Phase_PHASE_FROZEN)
	}
	over, end := context.WithCancel(t.Context())
	end()
	if started, err := state.Starting(over); err == nil {
		started()
		t.Fatal("a process may be started in a frozen guest")
	}
	if err := thaw(service, thawRequest()); err != nil {
		t.Fatal(err)
	}
	wantPhase(t, state, agentv1.Phase_PHASE_RUNNING)
	// What the old host ran is dead before anything else happens.
	want := []string{"sync", "freeze", "freeze", "end", "prepare", "thaw"}
	if !slices.Equal(machine.did, want) {
		t.Fatalf("did %v, want %v", machine.did, want)
	}
	hello, err := service.Hello(context.Background(), connect.NewRequest(&agentv1.HelloRequest{}))
	if err != nil || hello.Msg.VmId != "new" || hello.Msg.BootId != "12345678-1234-4234-8234-123456789abc" {
		t.Fatalf("hello says %v, %v", hello, err)
	}
}

func TestAFreezeThatFailsLeavesTheGuestRunning(t *testing.T) {
	for _, fails := range []string{"sync", "freeze"} {
		service, state, _ := newRecorded(fails)
		if err := freeze(service, true); err == nil || !strings.Contains(err.Error(), fails+" went wrong") {
			t.Errorf("%s: %v", fails, err)
		}
		wantPhase(t, state, agentv1.Phase_PHASE_RUNNING)
	}
}

// Nobody would thaw it: the next host, or the same one after it gave up, has seen a guest that runs.
func TestAHostThatGoesAwayWhileTheDisksAreSyncedLeavesTheGuestRunning(t *testing.T) {
	service, state, machine := newRecorded()
	ctx, goAway := context.WithCancel(context.Background())
	machine.duringSync = func() {
		goAway()
		if err := thaw(service, thawRequest()); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("a thaw meanwhile: %v", err)
		}
	}
	_, err := service.Freeze(ctx, connect.NewRequest(&agentv1.FreezeRequest{Sync: true}))
	if connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("the freeze of a host that is gone: %v", err)
	}
	wantPhase(t, state, agentv1.Phase_PHASE_RUNNING)
	if !slices.Equal(machine.did, []string{"sync"}) {
		t.Errorf("did %v", machine.did)
	}
}

func TestAThawThatFailsLeavesTheGuestFrozen(t *testing.T) {
	for _, fails := range []string{"end", "prepare", "thaw"} {
		service, state, machine := newRecorded(fails)
		if err := freeze(service, false); err != nil {
			t.Fatal(err)
		}
		if err := thaw(service, thawRequest()); err == nil || !strings.Contains(err.Error(), fails+" went wrong") {
			t.Errorf("%s: %v", fails, err)
		}
		wantPhase(t, state, agentv1.Phase_PHASE_FROZEN)
		machine.fails = nil
		if err := thaw(service, thawRequest()); err != nil {
			t.Errorf("the second thaw after %s: %v", fails, err)
		}
	}
}

func TestThawRefuses(t *testing.T) {
	service, state, machine := newRecorded()
	if err := thaw(service, thawRequest()); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Fatalf("a running guest was thawed: %v", err)
	}
	if err := freeze(service, false); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(*agentv1.ThawRequest){
		"vm_id":      func(r *agentv1.ThawRequest) { r.Identity.VmId = "" },
		"hostname":   func(r *agentv1.ThawRequest) { r.Identity.Hostname = "a\nb" },
		"boot id":    func(r *agentv1.ThawRequest) { r.Identity.BootId = "12345678-1234-4234-8234-123456789ABC" },
		"wall clock": func(r *agentv1.ThawRequest) { r.WallClockUnixNanos = 0 },
		"entropy":    func(r *agentv1.ThawRequest) { r.Entropy = nil },
		"network":    func(r *agentv1.ThawRequest) { r.Identity.Network = &agentv1.NetworkConfig{AddressCidr: "x"} },
	}
	for want, spoil := range cases {
		request := thawRequest()
		spoil(request)
		err := thaw(service, request)
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
		wantPhase(t, state, agentv1.Phase_PHASE_FROZEN)
	}
	if !slices.Equal(machine.did, []string{"freeze"}) {
		t.Errorf("a refused thaw did %v", machine.did)
	}
}

func TestShutdownOfAFrozenGuestKillsFirst(t *testing.T) {
	service, _, machine := newRecorded()
	if err := freeze(service, false); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Shutdown(context.Background(), connect.NewRequest(&agentv1.ShutdownRequest{})); err != nil {
		t.Fatal(err)
	}
	if want := []string{"freeze", "kill", "stop"}; !slices.Equal(machine.did, want) {
		t.Fatalf("did %v, want %v", machine.did, want)
	}
}

func TestFreezeOutsideOfPhaseRunning(t *testing.T) {
	prepared := make(chan struct{})
	close(prepared)
	state := guest.NewWaiting()
	err := freeze(NewService(state, &recorder{}, "test", prepared), false)
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Fatalf("a waiting guest was frozen: %v", err)
	}
	wantPhase(t, state, agentv1.Phase_PHASE_WAITING)
}

func TestAThawDoesNotWaitForARehearsalButTheNextFreezeDoes(t *testing.T) {
	service, _, machine := newRecorded()
	begun, release := make(chan struct{}, 2), make(chan struct{})
	service.RehearseWhenFrozen(func() {
		begun <- struct{}{}
		<-release
	})
	if err := freeze(service, false); err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := thaw(service, thawRequest()); err != nil {
		t.Fatal(err)
	}
	frozen := make(chan error, 1)
	go func() { frozen <- freeze(service, false) }()
	select {
	case err := <-frozen:
		t.Fatalf("it was frozen during a rehearsal: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if err := <-frozen; err != nil {
		t.Fatal(err)
	}
	same := thawRequest()
	same.Identity = nil
	if err := thaw(service, same); err != nil {
		t.Fatal(err)
	}
	want := []string{"freeze", "end", "prepare", "thaw", "freeze", "end", "prepare", "thaw"}
	if !slices.Equal(machine.did, want) {
		t.Fatalf("did %v, want %v", machine.did, want)
	}
}

// Nobody has said anything to a guest that was restored a moment ago.
func TestAFrozenGuestRehearsesOnceByItself(t *testing.T) {
	service, _, machine := newRecorded()
	times := make(chan struct{}, 10)
	service.RehearseWhenFrozen(func() { times <- struct{}{} })
	machine.rehearsed = func() { times <- struct{}{} }
	for range 2 {
		if err := freeze(service, false); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			select {
			case <-times:
			case <-time.After(10 * time.Second):
				t.Fatal("it did not rehearse within 10 s")
			}
		}
		service.rehearseOnWaking()
		if err := thaw(service, thawRequest()); err != nil {
			t.Fatal(err)
		}
		service.rehearsing.Wait()
		if len(times) > 0 {
			t.Fatal("it rehearsed again")
		}
	}
}

func TestAGuestThatRunsRehearsesNothing(t *testing.T) {
	service, state, machine := newRecorded()
	service.RehearseWhenFrozen(func() { t.Error("it rehearsed before it was frozen") })
	service.rehearseOnWaking()
	service.rehearsing.Wait()
	machine.rehearsed = func() { _ = machine.do("rehearse") }
	service.RehearseWhenFrozen(func() { _ = machine.do("call"); state.Thawed() })
	if err := freeze(service, false); err != nil {
		t.Fatal(err)
	}
	service.rehearseOnWaking()
	service.rehearsing.Wait()
	if want := []string{"freeze", "call"}; !slices.Equal(machine.did, want) {
		t.Fatalf("did %v, want %v", machine.did, want)
	}
}
