package netd_test

import (
	"net/netip"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/netdtest"
	"banger.dev/banger/internal/netd/plan"
	"golang.org/x/net/dns/dnsmessage"
)

// Frames of all kinds through edge, stack and handlers: what comes after them is still answered.
func FuzzFrames(f *testing.F) {
	frame := func(packet []byte) []byte {
		header := append(append([]byte(plan.GatewayMAC), plan.GuestMAC...), 8, 0)
		if packet[0]>>4 == 6 {
			header[12], header[13] = 0x86, 0xdd
		}
		return append(header, packet...)
	}
	f.Add(frame(syn(netip.AddrPortFrom(plan.Guest4, 1), at("93.184.216.34:80"))))
	f.Add(frame(syn(netip.AddrPortFrom(plan.Guest6, 1), at("[2606::1]:80"))))
	f.Add(frame(edge.Datagram(netip.AddrPortFrom(plan.Guest4, 1), at("198.18.0.1:53"), netdtest.Question(f, "a.example", dnsmessage.TypeA))))
	f.Add(frame(edge.Datagram(netip.AddrPortFrom(plan.Guest6, 1), at("[2606::1]:53"), []byte("x"))))
	w := netdtest.NewWorld(f)
	_, guest := w.Start(`{"mode":"MODE_OPEN"}`)
	tap := guest.Tap()
	mark := frame(edge.Datagram(netip.AddrPortFrom(plan.Guest4, 4321), at("198.18.0.1:9"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		guest.Frame(b)
		guest.Frame(mark)
		deadline := time.After(20 * time.Second)
		for {
			select {
			case got := <-tap:
				// The refusal of the datagram to port 9.
				if len(got) >= 66 && got[23] == 1 && got[34] == 3 && got[65] == 9 {
					return
				}
			case <-deadline:
				t.Fatalf("nothing is answered any more after %x", b)
			}
		}
	})
}
