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
	for _, wanted := range []struct {
		name, cidr, gateway string
		is6                 bool
	}{
		{"address", config.AddressCidr, config.Gateway, false},
		{"address6", config.Address6Cidr, config.Gateway6, true},
	} {
		if wanted.is6 && wanted.cidr == "" && wanted.gateway == "" {
			continue
		}
		address, err := parseAddress(wanted.cidr, wanted.gateway)
		if err != nil {
			return Interface{}, fmt.Errorf("%s: %w", wanted.name, err)
		}
		// An IPv4 address may be written as an IPv6 one: that is neither.
		if address.Prefix.Addr().Is6() != wanted.is6 || address.Prefix.Addr().Is4In6() {
			return Interface{}, fmt.Errorf("%s: %s is of the other family", wanted.name, address.Prefix)
		}
		want.Addresses = append(want.Addresses, address)
	}
	for _, server := range config.DnsServers {
		if _, err := netip.ParseAddr(server); err != nil {
			return Interface{}, fmt.Errorf("DNS server: %w", err)
		}
	}
	return want, nil
}

func parseAddress(cidr, gateway string) (Address, error) {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return Address{}, err
	}
	if gateway == "" {
		return Address{Prefix: prefix}, nil
	}
	way, err := netip.ParseAddr(gateway)
	if err != nil {
		return Address{}, fmt.Errorf("gateway: %w", err)
	}
	if way.Is4() != prefix.Addr().Is4() || way.Zone() != "" {
		return Address{}, fmt.Errorf("gateway %s does not fit the address %s", way, prefix)
	}
	return Address{Prefix: prefix, Gateway: way}, nil
}
