package life

import (
	"strings"
	"testing"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

func goodRequest() *agentv1.ConfigureRequest {
	return &agentv1.ConfigureRequest{
		VmId: "vm-1", Hostname: "demo", WallClockUnixNanos: time.Now().UnixNano(), Entropy: make([]byte, 64),
		Disks:       &agentv1.DiskLayout{BaseSerial: "base", OverlaySerial: "overlay", WorkSerial: "work"},
		Environment: []string{"PATH=/usr/bin", "EMPTY="},
		Network:     &agentv1.NetworkConfig{AddressCidr: "10.0.2.15/24", Gateway: "10.0.2.2", DnsServers: []string{"10.0.2.3"}},
	}
}

func TestParsePlan(t *testing.T) {
	plan, err := ParsePlan(goodRequest())
	if err != nil {
		t.Fatal(err)
	}
	if plan.Guest.VMID != "vm-1" || plan.Guest.Hostname != "demo" || plan.Serials.Work != "work" ||
		plan.Network.Name != "eth0" || plan.NameServers[0] != "10.0.2.3" {
		t.Fatalf("got %+v", plan)
	}
}

func TestParsePlanRefuses(t *testing.T) {
	cases := map[string]func(*agentv1.ConfigureRequest){
		"init":            func(r *agentv1.ConfigureRequest) { r.Init = "sbin/init" },
		"vm_id":           func(r *agentv1.ConfigureRequest) { r.VmId = "" },
		"boot id":         func(r *agentv1.ConfigureRequest) { r.BootId = "no" },
		"hostname":        func(r *agentv1.ConfigureRequest) { r.Hostname = "a\nb" },
		"wall clock":      func(r *agentv1.ConfigureRequest) { r.WallClockUnixNanos = 0 },
		"entropy":         func(r *agentv1.ConfigureRequest) { r.Entropy = make([]byte, 8) },
		"environment":     func(r *agentv1.ConfigureRequest) { r.Environment = []string{"=x"} },
		"default_workdir": func(r *agentv1.ConfigureRequest) { r.DefaultWorkdir = "app" },
		"directories":     func(r *agentv1.ConfigureRequest) { r.Directories = []string{"/data", "data"} },
		"git_identity":    func(r *agentv1.ConfigureRequest) { r.GitIdentity = &agentv1.GitIdentity{Name: "a\nb"} },
		"network":         func(r *agentv1.ConfigureRequest) { r.Network.AddressCidr = "10.0.2.15" },
	}
	for want, spoil := range cases {
		request := goodRequest()
		spoil(request)
		plan, err := ParsePlan(request)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v", want, err)
		}
		if plan == nil {
			t.Errorf("%s: no plan to name the guest by", want)
		}
	}
}
