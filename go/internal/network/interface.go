// Package network gives the guest its loopback and one statically configured interface, by netlink alone: an image
// need not have any network tool.
package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"banger.dev/banger/internal/virtio"
	"golang.org/x/sys/unix"
)

const loopbackIndex = 1

// Interface is the wanted state of the guest's interface.
type Interface struct {
	Name string
	// MAC picks the device when there are several, and is set when the device has another. Nil: whatever it has.
	MAC net.HardwareAddr
	// Addresses has at most one of each family.
	Addresses []Address
	// MTU 0 means the driver's default.
	MTU uint32
}

// Address is one address of an interface, with the way out of its network.
type Address struct {
	Prefix netip.Prefix
	// Gateway of the family's default route; the zero value means no default route.
	Gateway netip.Addr
}

// Loopback brings lo up.
func Loopback() error {
	nl, err := openNetlink()
	if err != nil {
		return err
	}
	defer nl.close()
	return nl.do(unix.RTM_NEWLINK, 0, linkMessage(loopbackIndex, unix.IFF_UP, unix.IFF_UP))
}

// Configure binds the virtio network devices and brings the wanted interface up.
func Configure(want Interface) error {
	name, err := bindDevices(want.MAC)
	if err != nil {
		return err
	}
	if have, err := macOf(name); err == nil && bytes.Equal(have, want.MAC) {
		want.MAC = nil
	}
	index, err := interfaceIndex(name)
	if err != nil {
		return err
	}
	nl, err := openNetlink()
	if err != nil {
		return err
	}
	defer nl.close()
	// A name cannot be changed while the interface is up.
	if want.Name != name {
		if err := nl.do(unix.RTM_NEWLINK, 0, linkMessage(index, 0, unix.IFF_UP)); err != nil {
			return fmt.Errorf("take %s down: %w", name, err)
		}
		if err := nl.do(unix.RTM_NEWLINK, 0, describeName(want.Name, index)); err != nil {
			return fmt.Errorf("name %s %s: %w", name, want.Name, err)
		}
	}
	standStatic(want.Name)
	if err := nl.do(unix.RTM_NEWLINK, 0, describeLink(want, index)); err != nil {
		return fmt.Errorf("bring %s up: %w", want.Name, err)
	}
	for _, address := range want.Addresses {
		if err := addAddress(nl, address, index); err != nil {
			return fmt.Errorf("%s: %w", want.Name, err)
		}
	}
	return nil
}

// Disconnect takes all virtio interfaces down: a connect then fails at once, as there is no route any more. Interfaces that no
// driver has taken stay as they are.
func Disconnect() error {
	devices, err := virtio.Devices(virtio.Net)
	if err != nil {
		return err
	}
	for _, device := range devices {
		if !virtio.IsBound(device) {
			continue
		}
		name, err := virtio.Child(device, "net")
		if err != nil {
			return err
		}
		index, err := interfaceIndex(name)
		if err != nil {
			return err
		}
		if err := setDown(index); err != nil {
			return fmt.Errorf("take %s down: %w", name, err)
		}
	}
	return nil
}

func setDown(index int32) error {
	nl, err := openNetlink()
	if err != nil {
		return err
	}
	defer nl.close()
	return nl.do(unix.RTM_NEWLINK, 0, linkMessage(index, 0, unix.IFF_UP))
}

// standStatic keeps the kernel from waiting for what nobody does here: routers that announce themselves, and neighbours
// that have the same address. Without IPv6 there is nothing to set.
func standStatic(name string) {
	for _, setting := range []string{"accept_ra", "accept_dad", "router_solicitations"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+setting, []byte("0"), 0)
	}
}

func addAddress(nl *netlink, address Address, index int32) error {
	err := nl.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, describeAddress(address.Prefix, index))
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
		if address.Prefix.Addr().Is6() {
			return nil // A kernel without IPv6 has half of the network, and all that its programs can use.
		}
	}
	if err != nil {
		return fmt.Errorf("add the address %s: %w", address.Prefix, err)
	}
	if !address.Gateway.IsValid() {
		return nil
	}
	if err := nl.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, describeRoute(address, index)); err != nil {
		return fmt.Errorf("add the default route through %s: %w", address.Gateway, err)
	}
	return nil
}

// bindDevices binds every virtio network device and returns the kernel's name of the one with that MAC; when there is
// only one device it is that.
func bindDevices(mac net.HardwareAddr) (string, error) {
	devices, err := virtio.Devices(virtio.Net)
	if err != nil {
		return "", err
	}
	if len(devices) == 0 {
		return "", errors.New("the machine has no virtio network device")
	}
	var names []string
	for _, device := range devices {
		// One that has a driver is in use: a second call must not cut the connections of the first.
		if !virtio.IsBound(device) {
			if err := virtio.Bind(device); err != nil {
				return "", err
			}
		}
		name, err := virtio.Child(device, "net")
		if err != nil {
			return "", err
		}
		names = append(names, name)
	}
	if len(names) == 1 {
		return names[0], nil
	}
	for _, name := range names {
		if have, err := macOf(name); err == nil && bytes.Equal(have, mac) {
			return name, nil
		}
	}
	return "", fmt.Errorf("no network device has the MAC %s", mac)
}

func macOf(name string) (net.HardwareAddr, error) {
	text, err := os.ReadFile("/sys/class/net/" + name + "/address")
	if err != nil {
		return nil, err
	}
	return net.ParseMAC(strings.TrimSpace(string(text)))
}

func interfaceIndex(name string) (int32, error) {
	text, err := os.ReadFile("/sys/class/net/" + name + "/ifindex")
	if err != nil {
		return 0, err
	}
	index, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 32)
	return int32(index), err
}

func describeName(name string, index int32) []byte {
	return appendAttribute(linkMessage(index, 0, 0), unix.IFLA_IFNAME, append([]byte(name), 0))
}

func describeLink(want Interface, index int32) []byte {
	b := linkMessage(index, unix.IFF_UP, unix.IFF_UP)
	if want.MAC != nil {
		b = appendAttribute(b, unix.IFLA_ADDRESS, want.MAC)
	}
	if want.MTU != 0 {
		b = appendAttribute(b, unix.IFLA_MTU, binary.NativeEndian.AppendUint32(nil, want.MTU))
	}
	return b
}

func describeAddress(prefix netip.Prefix, index int32) []byte {
	b := make([]byte, unix.SizeofIfAddrmsg)
	b[0] = family(prefix.Addr())
	b[1] = byte(prefix.Bits())
	// The host gives each guest an address of its own: no search for duplicates, which would delay its use.
	b[2] = unix.IFA_F_NODAD
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	b = appendAttribute(b, unix.IFA_LOCAL, prefix.Addr().AsSlice())
	return appendAttribute(b, unix.IFA_ADDRESS, prefix.Addr().AsSlice())
}

func describeRoute(address Address, index int32) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = family(address.Gateway)
	b[4] = unix.RT_TABLE_MAIN
	b[5] = unix.RTPROT_STATIC
	b[6] = unix.RT_SCOPE_UNIVERSE
	b[7] = unix.RTN_UNICAST
	if !address.Prefix.Contains(address.Gateway) {
		binary.NativeEndian.PutUint32(b[8:], unix.RTNH_F_ONLINK)
	}
	b = appendAttribute(b, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(index)))
	return appendAttribute(b, unix.RTA_GATEWAY, address.Gateway.AsSlice())
}

func family(address netip.Addr) byte {
	if address.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
