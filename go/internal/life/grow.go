package life

import (
	"context"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"connectrpc.com/connect"
)

// The kernel needs a moment to hear of a new size, and some to lay out what is new.
const growLimit = 10 * time.Second

// GrowDisks grows the file systems of the guest, which runs on meanwhile.
func (s *Service) GrowDisks(ctx context.Context, request *connect.Request[agentv1.GrowDisksRequest]) (*connect.Response[agentv1.GrowDisksResponse], error) {
	limited, cancel := context.WithTimeout(ctx, growLimit)
	defer cancel()
	if err := s.machine.Grow(limited, request.Msg.OverlayBytes, request.Msg.WorkBytes); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&agentv1.GrowDisksResponse{}), nil
}
