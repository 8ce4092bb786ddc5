package network

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

const maxNameBytes = 15

// Parse checks what the host sent.
func Parse(config *agentv1.NetworkConfig) (Interface, error) {
	want := Interface{Name: config.Interface, MTU: config.Mtu}
	if want.Name == "" {
		want.Name = "eth0"
	}
	if len(want.Name) > maxNameBytes || strings.ContainsAny(want.Name, "/: \t\n\x00") || strings.Trim(want.Name, ".") == "" {
		return Interface{}, fmt.Errorf("interface name %q is not usable", config.Interface)
	}
	if config.Mac != "" {
		mac, err := net.ParseMAC(config.Mac)
		if err != nil || len(mac) != 6 {
			return Interface{}, fmt.Errorf("MAC %q is not usable", config.Mac)
		}
		want.MAC = mac
	}
	address, err := netip.ParsePrefix(config.AddressCidr)
	if err != nil {
		return Interface{}, fmt.Errorf("address: %w", err)
	}
	want.Address = address
	if config.Gateway != "" {
		gateway, err := netip.ParseAddr(config.Gateway)
		if err != nil {
			return Interface{}, fmt.Errorf("gateway: %w", err)
		}
		if gateway.Is4() != address.Addr().Is4() || gateway.Zone() != "" {
			return Interface{}, fmt.Errorf("gateway %s does not fit the address %s", gateway, address)
		}
		want.Gateway = gateway
	}
	for _, server := range config.DnsServers {
		if _, err := netip.ParseAddr(server); err != nil {
			return Interface{}, fmt.Errorf("DNS server: %w", err)
		}
	}
	return want, nil
}
