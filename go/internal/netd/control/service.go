// Package control speaks the contract of netd.proto on the control socket.
package control

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/gen/banger/netd/v1/netdv1connect"
	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/names"
	"banger.dev/banger/internal/netd/plan"
	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/settings"
	"connectrpc.com/connect"
)

// Protocol grows with an incompatible change of the contract.
const Protocol = 1

const (
	maxRequestBytes = 4 << 20
	checkWithin     = 10 * time.Second
)

type service struct {
	network  *netd.Network
	version  string
	shutdown func()
}

// Serve the contract on a listener until it is closed. Shutdown is called once a client wants the end.
func Serve(listener net.Listener, network *netd.Network, version string, shutdown func()) error {
	mux := http.NewServeMux()
	mux.Handle(netdv1connect.NewNetdServiceHandler(
		&service{network, version, shutdown},
		connect.WithReadMaxBytes(maxRequestBytes),
	))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols), ReadHeaderTimeout: 10 * time.Second}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	if err := server.Serve(listener); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *service) Status(context.Context, *connect.Request[netdv1.StatusRequest]) (*connect.Response[netdv1.StatusResponse], error) {
	n := s.network
	words, generation := n.Policy()
	return connect.NewResponse(&netdv1.StatusResponse{
		Version: s.version, Protocol: Protocol, VmId: n.Settings.VMID, StartId: n.Settings.StartID, Pid: uint32(os.Getpid()),
		StartedUnixNanos: n.Started.UnixNano(), Attached: n.Attached(), Addresses: guestAddresses(),
		Policy: words, PolicyGeneration: generation, Counters: counters(n), Memory: memory(),
	}), nil
}

func guestAddresses() *netdv1.Addresses {
	return &netdv1.Addresses{
		GuestMac: plan.GuestMAC.String(), GatewayMac: plan.GatewayMAC.String(),
		GuestIpv4Cidr: netip.PrefixFrom(plan.Guest4, plan.Prefix4.Bits()).String(),
		GuestIpv6Cidr: netip.PrefixFrom(plan.Guest6, plan.Prefix6.Bits()).String(),
		GatewayIpv4:   plan.Gateway4.String(), GatewayIpv6: plan.Gateway6.String(),
		HostIpv4: plan.Host4.String(), HostIpv6: plan.Host6.String(), Mtu: plan.MTU,
	}
}

func (s *service) SetPolicy(_ context.Context, r *connect.Request[netdv1.SetPolicyRequest]) (*connect.Response[netdv1.SetPolicyResponse], error) {
	generation, cut, err := s.network.SetPolicy(r.Msg.Policy)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewResponse(&netdv1.SetPolicyResponse{PolicyGeneration: generation, Cut: uint32(cut)}), nil
}

func (s *service) Shutdown(context.Context, *connect.Request[netdv1.ShutdownRequest]) (*connect.Response[netdv1.ShutdownResponse], error) {
	// After the reply.
	time.AfterFunc(50*time.Millisecond, s.shutdown)
	return connect.NewResponse(&netdv1.ShutdownResponse{}), nil
}

func (s *service) SetSecrets(_ context.Context, r *connect.Request[netdv1.SetSecretsRequest]) (*connect.Response[netdv1.SetSecretsResponse], error) {
	if err := s.network.SetSecrets(r.Msg.Secrets); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewResponse(&netdv1.SetSecretsResponse{}), nil
}

func (s *service) SetPeers(_ context.Context, r *connect.Request[netdv1.SetPeersRequest]) (*connect.Response[netdv1.SetPeersResponse], error) {
	cut, err := s.network.SetPeers(r.Msg.Peers)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewResponse(&netdv1.SetPeersResponse{Cut: uint32(cut)}), nil
}

func (s *service) Check(ctx context.Context, r *connect.Request[netdv1.CheckRequest]) (*connect.Response[netdv1.CheckResponse], error) {
	response, err := s.check(ctx, r.Msg)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return connect.NewResponse(response), nil
}

func (s *service) check(ctx context.Context, r *netdv1.CheckRequest) (*netdv1.CheckResponse, error) {
	protocol, err := settings.Protocol(r.Protocol)
	if err != nil {
		return nil, err
	}
	if protocol == policy.AnyProtocol {
		protocol = policy.TCP
	}
	if r.Port > 0xffff || r.Port == 0 && protocol != policy.ICMP {
		return nil, errors.New("a port is a number from 1 to 65535")
	}
	asked, _ := s.network.Judge.Policy()
	var other *policy.Policy
	if r.Policy != nil {
		if other, err = settings.Policy(r.Policy); err != nil {
			return nil, err
		}
		asked = other
	}
	port := uint16(r.Port)
	if address, err := netip.ParseAddr(r.Host); err == nil {
		if plan.Host(address) && protocol == policy.TCP {
			return &netdv1.CheckResponse{Verdict: verdict(asked.DecideHostPort(port))}, nil
		}
		return &netdv1.CheckResponse{Verdict: verdict(s.network.Check(protocol, "", netip.AddrPortFrom(address, port), other))}, nil
	}
	name, err := names.Normalize(r.Host)
	if err != nil {
		return nil, err
	}
	if name == plan.HostName {
		return &netdv1.CheckResponse{Verdict: verdict(asked.DecideHostPort(port))}, nil
	}
	q := policy.Question{Protocol: protocol, Port: port, Names: []string{name}}
	response := &netdv1.CheckResponse{Verdict: verdict(asked.Decide(q))}
	if r.Resolve {
		s.checkAddresses(ctx, response, protocol, name, port, other)
	}
	return response, nil
}

func (s *service) checkAddresses(ctx context.Context, response *netdv1.CheckResponse, protocol policy.Protocol, name string, port uint16, other *policy.Policy) {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	found, err := s.network.Names.Lookup(ctx, name)
	if err != nil {
		response.ResolveFailure = err.Error()
		return
	}
	for _, address := range found {
		judged := s.network.Check(protocol, name, netip.AddrPortFrom(address, port), other)
		response.Addresses = append(response.Addresses, &netdv1.AddressVerdict{Address: address.String(), Verdict: verdict(judged)})
	}
}

func verdict(v policy.Verdict) *netdv1.Verdict {
	return &netdv1.Verdict{Allowed: v.Allowed, Rule: v.Rule, Reason: v.Reason, Suggestion: v.Suggestion}
}
