package settings_test

import (
	"testing"

	"banger.dev/banger/internal/netd/policy"
	"banger.dev/banger/internal/netd/settings"
)

func TestDefaults(t *testing.T) {
	s, err := settings.Parse([]byte(`{}`))
	if err != nil || s.Policy.Mode() != policy.None || s.Limits.TCPConnections != 2048 || s.Limits.LogRecords != 4096 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A policy is understood as a whole or not at all.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"policy":{"mode":"MODE_LOCKED","rules":[{"action":"ACTION_ALLOW","target":"*.example.com","firstPort":443}],"hostPorts":[5432]}}`))
	f.Add([]byte(`{"vmId":"a","resolvers":["1.1.1.1"],"limits":{"tcpConnections":4294967295}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := settings.Parse(text)
		if err == nil && (s.Policy == nil || s.Limits.TCPConnections < 1 || s.Limits.TCPConnections > 1<<16) {
			t.Errorf("%+v", s)
		}
	})
}
