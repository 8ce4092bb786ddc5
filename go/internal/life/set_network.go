package life

import (
	"context"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/network"
	"connectrpc.com/connect"
)

// Files of the guest may lie on a file system whose server does not answer.
const networkLimit = 10 * time.Second

// SetNetwork changes the network of a guest that runs.
func (s *Service) SetNetwork(_ context.Context, request *connect.Request[agentv1.SetNetworkRequest]) (*connect.Response[agentv1.SetNetworkResponse], error) {
	var wanted *network.Interface
	if config := request.Msg.Network; config != nil {
		parsed, err := network.Parse(config)
		if err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
		wanted = &parsed
	}
	if err := s.machine.SetNetwork(wanted, request.Msg.Network.GetDnsServers()); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&agentv1.SetNetworkResponse{}), nil
}

// SetNetwork implements Machine.
func (vm *VM) SetNetwork(wanted *network.Interface, nameServers []string) error {
	return within(networkLimit, "network", func() error {
		if wanted == nil {
			return network.Disconnect()
		}
		if err := network.Configure(*wanted); err != nil {
			return err
		}
		if len(nameServers) == 0 {
			return nil
		}
		return identity.SetNameServers(etc, nameServers)
	})
}
