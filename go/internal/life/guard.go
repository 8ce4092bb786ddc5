package life

import (
	"context"
	"fmt"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/guest"
	"connectrpc.com/connect"
)

// Guard refuses calls that the guest's phase does not allow: before Configure nothing can run, and after a failed one
// or during a shutdown nothing may. In a frozen guest they wait for the thaw: who calls a guest of which a snapshot is taken just then
// must see nothing of it.
func Guard(state *guest.State) connect.Interceptor {
	return guard{state}
}

type guard struct{ state *guest.State }

func (g guard) check(ctx context.Context, procedure string) error {
	switch procedure {
	case agentv1connect.AgentServiceHelloProcedure, agentv1connect.AgentServiceAssembleProcedure, agentv1connect.AgentServiceConfigureProcedure,
		agentv1connect.AgentServiceFreezeProcedure, agentv1connect.AgentServiceThawProcedure,
		agentv1connect.AgentServiceShutdownProcedure:
		return nil // They look at the phase themselves.
	}
	if err := g.state.AwaitThaw(ctx); err != nil {
		return connect.NewError(connect.CodeCanceled, err)
	}
	phase := g.state.Phase()
	// Frozen again since: what is begun now stands still with all else.
	if phase == agentv1.Phase_PHASE_RUNNING || phase == agentv1.Phase_PHASE_FROZEN {
		return nil
	}
	if reason := g.state.Failure(); reason != "" {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("guest is in phase %s: %s", guest.PhaseName(phase), reason))
	}
	return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("guest is in phase %s, not running", guest.PhaseName(phase)))
}

func (g guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, request connect.AnyRequest) (connect.AnyResponse, error) {
		if err := g.check(ctx, request.Spec().Procedure); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}
}

func (g guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := g.check(ctx, conn.Spec().Procedure); err != nil {
			return err
		}
		return next(ctx, conn)
	}
}

func (g guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
