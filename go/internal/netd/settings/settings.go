// Package settings reads what banger-netd is told: the configuration file, and policies in the words of the contract.
package settings

import (
	"errors"
	"fmt"
	"io"
	"os"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/policy"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"
)

const maxFile = 4 << 20

// Limits with the defaults put in.
type Limits struct {
	TCPConnections, TCPConnecting, UDPFlows, DNSNames, DNSPending, LogRecords int
}

// Settings that were read.
type Settings struct {
	VMID, StartID string
	Policy        *policy.Policy
	// Words is the policy as it was given.
	Words     *netdv1.Policy
	Resolvers []string
	Limits    Limits
	Secrets   *netdv1.Secrets
	Peers     *netdv1.Peers
}

// Read a configuration file. One that others could read or write is refused: it may hold secrets.
func Read(path string) (*Settings, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is not a file that only its owner can read (mode %s)", path, info.Mode())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	settings, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return settings, nil
}

// Parse a configuration.
func Parse(text []byte) (*Settings, error) {
	var config netdv1.Config
	if err := protojson.Unmarshal(text, &config); err != nil {
		return nil, errors.New("not a configuration: " + plain(err))
	}
	if config.Policy == nil {
		config.Policy = &netdv1.Policy{Mode: netdv1.Mode_MODE_NONE}
	}
	p, err := Policy(config.Policy)
	if err != nil {
		return nil, err
	}
	return &Settings{
		VMID: config.VmId, StartID: config.StartId, Policy: p, Words: config.Policy, Resolvers: config.Resolvers,
		Limits: limits(config.Limits), Secrets: config.Secrets, Peers: config.Peers,
	}, nil
}

// plain drops what protobuf puts in front of its errors.
func plain(err error) string {
	text := err.Error()
	const prefix = "proto:"
	if len(text) > len(prefix) && text[:len(prefix)] == prefix {
		return text[len(prefix)+2:]
	}
	return text
}

func limits(given *netdv1.Limits) Limits {
	or := func(value uint32, otherwise int) int {
		if value == 0 {
			return otherwise
		}
		return int(min(value, 1<<16))
	}
	return Limits{
		TCPConnections: or(given.GetTcpConnections(), 2048),
		TCPConnecting:  or(given.GetTcpConnecting(), 256),
		UDPFlows:       or(given.GetUdpFlows(), 1024),
		DNSNames:       or(given.GetDnsNames(), 4096),
		DNSPending:     or(given.GetDnsPending(), 128),
		LogRecords:     or(given.GetLogRecords(), 4096),
	}
}

var modes = map[netdv1.Mode]policy.Mode{
	netdv1.Mode_MODE_NONE:     policy.None,
	netdv1.Mode_MODE_OPEN:     policy.Open,
	netdv1.Mode_MODE_BALANCED: policy.Balanced,
	netdv1.Mode_MODE_LOCKED:   policy.Locked,
}

var protocols = map[netdv1.Protocol]policy.Protocol{
	netdv1.Protocol_PROTOCOL_UNSPECIFIED: policy.AnyProtocol,
	netdv1.Protocol_PROTOCOL_TCP:         policy.TCP,
	netdv1.Protocol_PROTOCOL_UDP:         policy.UDP,
	netdv1.Protocol_PROTOCOL_ICMP:        policy.ICMP,
}

// Protocol in the words of the rest; AnyProtocol for none.
func Protocol(given netdv1.Protocol) (policy.Protocol, error) {
	p, ok := protocols[given]
	if !ok {
		return 0, fmt.Errorf("%s is not a protocol of rules", given)
	}
	return p, nil
}

// Policy understands a policy. Anything in it that is not known makes it refused as a whole.
func Policy(words *netdv1.Policy) (*policy.Policy, error) {
	if words == nil {
		return nil, errors.New("no policy was given")
	}
	mode, ok := modes[words.Mode]
	if !ok {
		return nil, fmt.Errorf("the policy has no mode that is known (%s)", words.Mode)
	}
	if len(words.Rules) > policy.MaxRules || len(words.HostPorts) > policy.MaxRules {
		return nil, fmt.Errorf("a policy has at most %d rules", policy.MaxRules)
	}
	rules := make([]policy.Rule, 0, len(words.Rules))
	for _, word := range words.Rules {
		rule, err := readRule(word)
		if err != nil {
			return nil, err
		}
		rules = append(rules, rule)
	}
	ports := make([]uint16, 0, len(words.HostPorts))
	for _, port := range words.HostPorts {
		if port == 0 || port > 0xffff {
			return nil, fmt.Errorf("%d is not a port of the host", port)
		}
		ports = append(ports, uint16(port))
	}
	p, err := policy.New(mode, rules, ports)
	if err != nil {
		return nil, err
	}
	p.Name = words.Name
	return p, nil
}

func readRule(word *netdv1.Rule) (policy.Rule, error) {
	rule := policy.Rule{Private: word.PrivateAddresses}
	switch word.Action {
	case netdv1.Rule_ACTION_ALLOW:
	case netdv1.Rule_ACTION_DENY:
		rule.Deny = true
	default:
		return rule, fmt.Errorf("rule for %q: neither allow nor deny", word.Target)
	}
	if word.FirstPort > 0xffff || word.LastPort > 0xffff {
		return rule, fmt.Errorf("rule for %q: ports end at 65535", word.Target)
	}
	rule.Ports = policy.Ports{First: uint16(word.FirstPort), Last: uint16(word.LastPort)}
	var err error
	if rule.Protocol, err = Protocol(word.Protocol); err != nil {
		return rule, fmt.Errorf("rule for %q: %w", word.Target, err)
	}
	return policy.NewRule(word.Target, rule)
}
