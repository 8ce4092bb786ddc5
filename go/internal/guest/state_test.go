package guest

import (
	"errors"
	"testing"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// A program that lies on a file system whose server is gone is being started for ever.
func TestAStartThatHangsKeepsAGuestFromFreezingAndFromNothingElse(t *testing.T) {
	state := NewRunning(Config{})
	hanging, err := state.Starting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := state.BeginFreeze(10 * time.Millisecond); err == nil {
		t.Fatal("frozen while a process is being started")
	}
	if got := state.Phase(); got != agentv1.Phase_PHASE_RUNNING {
		t.Fatalf("in phase %s", PhaseName(got))
	}
	other, err := state.Starting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other()
	go hanging()
	if err := state.BeginFreeze(time.Minute); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		started, err := state.Starting(t.Context())
		if err == nil {
			defer started()
			if state.Phase() == agentv1.Phase_PHASE_FROZEN {
				err = errors.New("a process may be started in a frozen guest")
			}
		}
		waiting <- err
	}()
	state.Thawed()
	if err := <-waiting; err != nil {
		t.Fatal(err)
	}
}
