// Package addresses says of what kind an IP address is: public, or one of the kinds that a guest does not reach by itself.
package addresses

import "net/netip"

// Class is a kind of address.
type Class uint8

const (
	Public Class = iota
	// Private is RFC 1918 and RFC 4193.
	Private
	// Shared is the carriers' range, RFC 6598; overlay networks use it.
	Shared
	// Own is an address of the host itself.
	Own
	Loopback
	LinkLocal
	// Metadata is where clouds tell a machine its secrets.
	Metadata
	Multicast
	// Reserved is whatever else is not for use between hosts of the internet.
	Reserved
	// Invalid is no destination at all, or an IPv4 address in an IPv6 form that has no business on a wire.
	Invalid
)

var classNames = [...]string{"public", "private", "shared", "own", "loopback", "link-local", "metadata", "multicast", "reserved", "invalid"}

func (c Class) String() string { return classNames[c] }

// Block is a range of one class. A public address is in the zero Block.
type Block struct {
	Class  Class
	Prefix netip.Prefix
}

func block(class Class, prefix string) Block {
	return Block{class, netip.MustParsePrefix(prefix)}
}

// IANA's special-purpose registries, and what clouds put beside them. The most specific one counts.
var blocks4 = []Block{
	block(Invalid, "0.0.0.0/8"),
	block(Private, "10.0.0.0/8"),
	block(Shared, "100.64.0.0/10"),
	block(Metadata, "100.100.100.200/32"), // Alibaba Cloud
	block(Loopback, "127.0.0.0/8"),
	block(Metadata, "168.63.129.16/32"), // Azure's host agent
	block(LinkLocal, "169.254.0.0/16"),
	block(Metadata, "169.254.169.254/32"), // nearly all of them
	block(Metadata, "169.254.170.0/24"),   // credentials of ECS tasks and EKS pods
	block(Metadata, "169.254.169.0/24"),   // AWS: time, DNS, licences
	block(Metadata, "169.254.42.42/32"),   // Scaleway
	block(Private, "172.16.0.0/12"),
	block(Reserved, "192.0.0.0/24"),
	block(Metadata, "192.0.0.192/32"), // Oracle Cloud
	block(Reserved, "192.0.2.0/24"),
	block(Reserved, "192.88.99.0/24"),
	block(Private, "192.168.0.0/16"),
	block(Reserved, "198.18.0.0/15"),
	block(Reserved, "198.51.100.0/24"),
	block(Reserved, "203.0.113.0/24"),
	block(Multicast, "224.0.0.0/4"),
	block(Reserved, "240.0.0.0/4"),
	block(Invalid, "255.255.255.255/32"),
}

var blocks6 = []Block{
	block(Invalid, "::/128"),
	block(Loopback, "::1/128"),
	block(Invalid, "::/96"),         // IPv4-compatible
	block(Invalid, "::ffff:0:0/96"), // IPv4-mapped: only ever inside a host
	block(Invalid, "::ffff:0:0:0/96"),
	block(Private, "64:ff9b:1::/48"), // NAT64 of the local network
	block(Reserved, "100::/64"),
	block(Reserved, "100:0:0:1::/64"),
	block(Reserved, "2001::/23"),
	block(Reserved, "2001:db8::/32"),
	block(Reserved, "3fff::/20"),
	block(Reserved, "5f00::/16"),
	block(Private, "fc00::/7"),
	block(Metadata, "fd00:ec2::/32"),          // AWS
	block(Metadata, "fd20:ce::254/128"),       // Google Cloud
	block(Metadata, "fd00:42::42/128"),        // Scaleway
	block(Metadata, "fd00:c1::a9fe:a9fe/128"), // Oracle Cloud
	block(LinkLocal, "fe80::/10"),
	block(Private, "fec0::/10"), // site-local of old
	block(Multicast, "ff00::/8"),
}

var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96")
	sixToFour = netip.MustParsePrefix("2002::/16")
	global6   = netip.MustParsePrefix("2000::/3")
)

// Classify says in which block an address is. An IPv6 address that a router would turn into an IPv4 one (NAT64, 6to4, ISATAP) is
// of that one's class. Addresses of the host are for the caller to know (package own).
func Classify(address netip.Addr) Block {
	if !address.IsValid() || address.Zone() != "" {
		return Block{Class: Invalid}
	}
	if address.Is4() {
		return narrowest(blocks4, address)
	}
	if found := narrowest(blocks6, address); found.Class != Public {
		return found
	}
	if inner, ok := Embedded(address); ok {
		if found := Classify(inner); found.Class != Public {
			// Only a rule for the very address opens it: the range of the inner one is not what a user would write.
			return Block{found.Class, netip.PrefixFrom(address, 128)}
		}
		return Block{}
	}
	if !global6.Contains(address) {
		return Block{Reserved, netip.PrefixFrom(address, 128)}
	}
	return Block{}
}

func narrowest(blocks []Block, address netip.Addr) Block {
	var found Block
	for _, b := range blocks {
		if b.Prefix.Contains(address) && (found.Class == Public || b.Prefix.Bits() > found.Prefix.Bits()) {
			found = b
		}
	}
	return found
}

// Embedded returns the IPv4 address that stands in an IPv6 address in a form that routers or tunnels undo.
func Embedded(address netip.Addr) (netip.Addr, bool) {
	if !address.Is6() {
		return netip.Addr{}, false
	}
	raw := address.As16()
	switch {
	case address.Is4In6():
		return address.Unmap(), true
	case nat64.Contains(address):
		return netip.AddrFrom4([4]byte(raw[12:16])), true
	case sixToFour.Contains(address):
		return netip.AddrFrom4([4]byte(raw[2:6])), true
	case (raw[8] == 0 || raw[8] == 2) && raw[9] == 0 && raw[10] == 0x5e && raw[11] == 0xfe:
		return netip.AddrFrom4([4]byte(raw[12:16])), true
	}
	return netip.Addr{}, false
}
