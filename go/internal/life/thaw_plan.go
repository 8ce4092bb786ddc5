package life

import (
	"fmt"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/network"
)

// ThawPlan is a checked ThawRequest.
type ThawPlan struct {
	WallClockNanos int64
	Entropy        []byte
	// Identity is nil when the guest stays who it is.
	Identity *Identity
}

// Identity makes a restored guest another machine.
type Identity struct {
	VMID, Hostname, BootID string
	HostKeyPEM             []byte
	AuthorizedKeys         []string
	// Network is nil when it stays as it is.
	Network     *network.Interface
	NameServers []string
}

// ParseThaw checks everything that can be checked before anything changes.
func ParseThaw(request *agentv1.ThawRequest) (*ThawPlan, error) {
	plan := &ThawPlan{WallClockNanos: request.WallClockUnixNanos, Entropy: request.Entropy}
	if err := checkMoment(plan.WallClockNanos, plan.Entropy); err != nil {
		return nil, err
	}
	wanted := request.Identity
	if wanted == nil {
		return plan, nil
	}
	plan.Identity = &Identity{
		VMID: wanted.VmId, Hostname: wanted.Hostname, BootID: wanted.BootId,
		HostKeyPEM: wanted.Ssh.GetHostKeyPem(), AuthorizedKeys: wanted.Ssh.GetAuthorizedKeys(),
	}
	if err := checkNames(wanted.VmId, wanted.Hostname, wanted.BootId); err != nil {
		return nil, err
	}
	if wanted.Network != nil {
		parsed, err := network.Parse(wanted.Network)
		if err != nil {
			return nil, fmt.Errorf("network: %w", err)
		}
		plan.Identity.Network, plan.Identity.NameServers = &parsed, wanted.Network.DnsServers
	}
	return plan, nil
}
