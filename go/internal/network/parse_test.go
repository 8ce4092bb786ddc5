package network

import (
	"fmt"
	"strings"
	"testing"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

func TestParse(t *testing.T) {
	got, err := Parse(&agentv1.NetworkConfig{
		Mac: "52:54:00:12:34:56", AddressCidr: "10.0.2.15/24", Gateway: "10.0.2.2", DnsServers: []string{"10.0.2.3"}, Mtu: 1400,
		Address6Cidr: "fd00:62::2/64", Gateway6: "fd00:62::1",
	})
	if err != nil {
		t.Fatal(err)
	}
	addresses := fmt.Sprint(got.Addresses)
	if got.Name != "eth0" || got.MAC.String() != "52:54:00:12:34:56" || got.MTU != 1400 ||
		addresses != "[{10.0.2.15/24 10.0.2.2} {fd00:62::2/64 fd00:62::1}]" {
		t.Fatalf("got %+v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	good := func() *agentv1.NetworkConfig {
		return &agentv1.NetworkConfig{Interface: "eth0", Mac: "52:54:00:12:34:56", AddressCidr: "10.0.2.15/24", Gateway: "10.0.2.2"}
	}
	cases := map[string]func(*agentv1.NetworkConfig){
		"interface name": func(c *agentv1.NetworkConfig) { c.Interface = "../../etc" },
		"MAC":            func(c *agentv1.NetworkConfig) { c.Mac = "52:54" },
		"address":        func(c *agentv1.NetworkConfig) { c.AddressCidr = "10.0.2.15" },
		"gateway":        func(c *agentv1.NetworkConfig) { c.Gateway = "fe80::1" },
		"other family":   func(c *agentv1.NetworkConfig) { c.AddressCidr, c.Gateway = "fd00:62::2/64", "" },
		"address6":       func(c *agentv1.NetworkConfig) { c.Gateway6 = "fd00:62::1" },
		"address6: ::ff": func(c *agentv1.NetworkConfig) { c.Address6Cidr = "::ffff:10.0.2.15/120" },
		"DNS server":     func(c *agentv1.NetworkConfig) { c.DnsServers = []string{"one.one.one.one\noptions x"} },
	}
	for want, spoil := range cases {
		config := good()
		spoil(config)
		if _, err := Parse(config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
	}
}
