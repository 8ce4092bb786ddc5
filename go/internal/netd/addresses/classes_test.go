package addresses_test

import (
	"net"
	"net/netip"
	"testing"

	"banger.dev/banger/internal/netd/addresses"
)

func TestClassify(t *testing.T) {
	for class, list := range map[addresses.Class][]string{
		addresses.Public:    {"1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "223.255.255.255", "2606:4700::1", "64:ff9b::102:304", "2002:102:304::1", "2400::1"},
		addresses.Private:   {"10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.255.255", "fc00::", "fdff::1", "fec0::1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:c0a8:1::1", "2606::5efe:10.0.0.1", "2606::200:5efe:10.0.0.1"},
		addresses.Shared:    {"100.64.0.0", "100.127.255.255", "64:ff9b::6440:1"},
		addresses.Loopback:  {"127.0.0.0", "127.255.255.255", "::1", "64:ff9b::7f00:1", "2002:7f00:1::"},
		addresses.LinkLocal: {"169.254.0.0", "169.254.255.255", "fe80::", "febf::1"},
		addresses.Metadata:  {"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::"},
		addresses.Multicast: {"224.0.0.0", "239.255.255.255", "ff02::1"},
		addresses.Reserved:  {"192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "240.0.0.0", "255.255.255.254", "192.88.99.1", "2001::1", "2001:db8::1", "100::1", "3fff::1", "4000::1", "::2:0:0:0", "e000::1"},
		addresses.Invalid:   {"0.0.0.0", "0.255.255.255", "255.255.255.255", "::", "::ffff:8.8.8.8", "::8.8.8.8", "::ffff:0:8.8.8.8"},
	} {
		for _, text := range list {
			if at := addresses.Classify(netip.MustParseAddr(text)); at.Class != class {
				t.Errorf("%s is %s, not %s", text, at.Class, class)
			} else if class != addresses.Public && !at.Prefix.Contains(netip.MustParseAddr(text)) {
				t.Errorf("%s is not in %s", text, at.Prefix)
			}
		}
	}
	if at := addresses.Classify(netip.MustParseAddr("2606::1%eth0")); at.Class != addresses.Invalid {
		t.Errorf("with a zone: %s", at.Class)
	}
}

func TestOwnAddresses(t *testing.T) {
	var own addresses.OwnAddresses
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range append(interfaces, &net.IPNet{IP: net.IPv4(127, 0, 0, 1)}, &net.IPNet{IP: net.IPv4(127, 9, 9, 9)}) {
		address, ok := netip.AddrFromSlice(one.(*net.IPNet).IP)
		if !ok || !own.Is(address.Unmap()) {
			t.Errorf("%s is not the host's own", one)
		}
	}
	for _, text := range []string{"93.184.216.34", "10.254.254.254", "2606:4700::1", "169.254.169.254", "0.0.0.0", "240.0.0.1"} {
		if own.Is(netip.MustParseAddr(text)) && text != "0.0.0.0" {
			t.Errorf("%s is the host's own", text)
		}
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte{10, 0, 0, 1})
	f.Add(netip.MustParseAddr("64:ff9b::7f00:1").AsSlice())
	f.Fuzz(func(t *testing.T, raw []byte) {
		address, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		at := addresses.Classify(address)
		if at.Class != addresses.Public && !at.Prefix.Contains(address) {
			t.Errorf("%s is not in %v", address, at)
		}
		if inner, ok := addresses.Embedded(address); ok && at.Class == addresses.Public && addresses.Classify(inner).Class != addresses.Public {
			t.Errorf("%s is public, but leads to %s", address, inner)
		}
		if (address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || address.IsMulticast() || address.IsUnspecified()) && at.Class == addresses.Public {
			t.Errorf("%s is public", address)
		}
	})
}
