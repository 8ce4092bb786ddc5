package life

import (
	"context"
	"strings"
	"testing"
	"time"

	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/guest"
	"connectrpc.com/connect"
)

func TestGuardByPhase(t *testing.T) {
	failed := guest.NewWaiting()
	failed.Fail("mount-base: no such disk")
	frozen := guest.NewRunning(guest.Config{})
	if err := frozen.BeginFreeze(time.Minute); err != nil {
		t.Fatal(err)
	}
	stopping := guest.NewRunning(guest.Config{})
	stopping.BeginStop()
	states := map[string]*guest.State{
		"waiting": guest.NewWaiting(), "failed: mount-base: no such disk": failed, "stopping": stopping,
	}
	always := []string{
		agentv1connect.AgentServiceHelloProcedure, agentv1connect.AgentServiceConfigureProcedure, agentv1connect.AgentServiceShutdownProcedure,
		agentv1connect.AgentServiceFreezeProcedure, agentv1connect.AgentServiceThawProcedure,
	}
	running := []string{
		agentv1connect.ProcessServiceExecProcedure, agentv1connect.FileServiceReadProcedure,
		agentv1connect.PortServiceDialProcedure, agentv1connect.AgentServiceStatsProcedure,
	}
	for phase, state := range states {
		for _, procedure := range always {
			if err := (guard{state}).check(t.Context(), procedure); err != nil {
				t.Errorf("%s in phase %s: %v", procedure, phase, err)
			}
		}
		for _, procedure := range running {
			err := (guard{state}).check(t.Context(), procedure)
			if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), phase) {
				t.Errorf("%s in phase %s: %v", procedure, phase, err)
			}
		}
	}
	for _, procedure := range append(always, running...) {
		if err := (guard{guest.NewRunning(guest.Config{})}).check(t.Context(), procedure); err != nil {
			t.Errorf("%s in phase running: %v", procedure, err)
		}
	}
	over, end := context.WithCancel(t.Context())
	end()
	for _, procedure := range always {
		if err := (guard{frozen}).check(over, procedure); err != nil {
			t.Errorf("%s in phase frozen: %v", procedure, err)
		}
	}
	waiting := make(chan error, len(running))
	for _, procedure := range running {
		if err := (guard{frozen}).check(over, procedure); connect.CodeOf(err) != connect.CodeCanceled {
			t.Errorf("%s in phase frozen, for nobody: %v", procedure, err)
		}
		go func() { waiting <- (guard{frozen}).check(t.Context(), procedure) }()
	}
	select {
	case err := <-waiting:
		t.Errorf("a call of a frozen guest did not wait: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	frozen.Thawed()
	for range running {
		if err := <-waiting; err != nil {
			t.Errorf("a call that waited for the thaw: %v", err)
		}
	}
}
