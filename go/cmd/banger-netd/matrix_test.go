package main

import (
	"testing"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/netdtest"
	"connectrpc.com/connect"
	"golang.org/x/net/dns/dnsmessage"
)

const (
	yes = "internet"
	no  = "refused"
)

// What each policy lets through. Everything that is denied here is there: without a policy in between it would answer.
var matrix = []struct {
	name, policy string
	// resolved before the attempts.
	names []string
	tcp   map[string]string
	udp   map[string]string
}{
	{
		name: "open", policy: `{"mode":"MODE_OPEN"}`,
		tcp: map[string]string{
			"93.184.216.34:80": yes, "10.0.0.1:5432": yes, "192.168.1.1:22": yes, "100.64.0.1:80": yes, "[2606:2800:220:1::1]:443": yes,
			"[fd00:1::1]:80": yes, "169.254.169.254:80": no, "168.63.129.16:80": no, "100.100.100.200:80": no, "[fd00:ec2::254]:80": no,
			"198.51.100.1:80": no, "[2001:db8:9::1]:80": no, "192.0.2.2:22": no, "93.184.216.99:22": no, "93.184.220.7:22": no,
			"[2001:db8::2]:22": no, "[2606:2800:220:9::9]:22": no, "198.18.0.1:22": no, "198.18.0.3:5432": no, "198.18.0.9:80": no, "127.0.0.1:9": no,
		},
		udp: map[string]string{"93.184.216.34:7": "hello", "10.0.0.1:7": "hello", "192.0.2.2:7": "prohibited", "169.254.169.254:7": "prohibited"},
	},
	{
		name: "balanced", policy: `{"mode":"MODE_BALANCED"}`,
		tcp: map[string]string{
			"93.184.216.34:80": yes, "93.184.216.35:22": yes, "93.184.216.34:853": yes, "[2606:2800:220:1::1]:22": yes, "10.0.0.1:80": no, "172.16.0.1:80": no,
			"192.168.1.1:80": no, "100.64.0.1:80": no, "169.254.169.254:80": no, "168.63.129.16:80": no, "[fd00:1::1]:80": no,
			"[fd00:ec2::254]:80": no, "[64:ff9b::a00:1]:80": no, "192.0.2.1:80": no, "192.0.2.2:80": no, "93.184.216.99:80": no, "93.184.220.7:22": no,
			"93.184.216.34:9999": no,
		},
		udp: map[string]string{"93.184.216.34:7": "hello", "93.184.216.34:443": "hello", "10.0.0.1:7": "prohibited", "[fd00:1::1]:7": "prohibited", "[2606:2800:220:1::1]:7": "hello", "93.184.216.99:7": "prohibited"},
	},
	{
		name: "balanced with rules", policy: `{"mode":"MODE_BALANCED","hostPorts":[5432],"rules":[
			{"action":"ACTION_ALLOW","target":"10.0.0.0/16","firstPort":5432},{"action":"ACTION_ALLOW","target":"169.254.169.254"},
			{"action":"ACTION_DENY","target":"93.184.216.35"},{"action":"ACTION_DENY","target":"93.184.216.0/24","firstPort":20,"lastPort":25}]}`,
		tcp: map[string]string{
			"10.0.0.1:5432": yes, "10.0.0.1:80": no, "10.9.9.9:5432": no, "169.254.169.254:80": yes, "93.184.216.35:80": no, "93.184.216.34:80": yes,
			"93.184.216.34:22": no, "198.18.0.3:5432": "host", "[fd62:616e:6765:72::3]:5432": "host", "198.18.0.3:22": no, "127.0.0.1:5432": no,
		},
		udp: map[string]string{"10.0.0.1:7": "prohibited", "93.184.216.35:7": "prohibited", "198.18.0.3:7": "prohibited"},
	},
	{
		name: "ranges open only what they lie within", policy: `{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"0.0.0.0/0"},{"action":"ACTION_ALLOW","target":"192.0.2.0/24"}]}`,
		tcp: map[string]string{"93.184.216.34:80": yes, "10.0.0.1:80": no, "169.254.169.254:80": no, "192.0.2.1:80": yes, "192.0.2.2:80": no, "[2606:2800:220:1::1]:80": no},
	},
	{
		name: "locked", policy: `{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"good.example","firstPort":22,"lastPort":22},
			{"action":"ACTION_ALLOW","target":"*.wild.example","protocol":"PROTOCOL_UDP"},{"action":"ACTION_ALLOW","target":"rebind.example"}]}`,
		names: []string{"good.example", "evil.example", "rebind.example", "other.example", "a.b.wild.example"},
		tcp: map[string]string{
			"93.184.216.34:22": yes, "93.184.216.34:80": no, "93.184.216.35:22": no, "10.0.0.1:80": no, "192.0.2.2:80": no, "93.184.216.34:853": no,
			"[2606:2800:220:1::1]:22": no,
		},
		udp: map[string]string{"93.184.216.34:7": "hello", "93.184.216.34:443": "prohibited", "93.184.216.35:53": "prohibited"},
	},
	{
		name: "a name with private addresses", policy: `{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"corp.example","firstPort":5432,"privateAddresses":true},
			{"action":"ACTION_ALLOW","target":"rebind.example","privateAddresses":true},{"action":"ACTION_DENY","target":"10.0.0.1","firstPort":22}]}`,
		names: []string{"corp.example", "rebind.example"},
		tcp:   map[string]string{"10.0.0.1:5432": yes, "10.0.0.1:22": no, "10.9.9.9:5432": no, "169.254.169.254:80": no, "192.0.2.2:22": no},
	},
	{
		name: "none", policy: `{"mode":"MODE_NONE","hostPorts":[5432],"rules":[{"action":"ACTION_ALLOW","target":"0.0.0.0/0"}]}`,
		tcp: map[string]string{"93.184.216.34:80": no, "198.18.0.3:5432": no},
		udp: map[string]string{"93.184.216.34:7": "prohibited"},
	},
}

func TestMatrix(t *testing.T) {
	w := newWorlds(t, `{"mode":"MODE_NONE"}`)
	cases := 0
	for _, m := range matrix {
		if _, err := w.netd.client.SetPolicy(netdtest.Context(t), connect.NewRequest(&netdv1.SetPolicyRequest{Policy: parsed(t, m.policy)})); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		for _, name := range m.names {
			w.resolve(t, name)
		}
		for target, want := range m.tcp {
			cases++
			if got := w.tcp(target); got != want {
				t.Errorf("%s: TCP to %s: %s, not %s", m.name, target, got, want)
			}
		}
		for target, want := range m.udp {
			cases++
			if got := w.udp(target); got != want {
				t.Errorf("%s: UDP to %s: %s, not %s", m.name, target, got, want)
			}
		}
	}
	t.Logf("%d cases", cases)
}

func TestNamesBetweenNamespaces(t *testing.T) {
	w := newWorlds(t, `{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"good.example"},{"action":"ACTION_ALLOW","target":"rebind.example"},{"action":"ACTION_ALLOW","target":"*.wild.example"}]}`)
	for name, want := range map[string]int{"good.example": 1, "evil.example": 0, "rebind.example": 0, "wild.example": 0, "a.b.wild.example": 1} {
		code, found := w.resolve(t, name)
		if len(found) != want || want == 0 && code != dnsmessage.RCodeNameError {
			t.Errorf("%s: %s %v", name, code, found)
		}
	}
}
