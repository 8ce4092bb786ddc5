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
	MAC     net.HardwareAddr
	Address netip.Prefix
	// Gateway of the default route; the zero value means no default route.
	Gateway netip.Addr
	// MTU 0 means the driver's default.
	MTU uint32
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
	if err := nl.do(unix.RTM_NEWLINK, 0, describeLink(want, name, index)); err != nil {
		return fmt.Errorf("bring %s up: %w", want.Name, err)
	}
	if err := nl.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, describeAddress(want.Address, index)); err != nil {
		return fmt.Errorf("give %s the address %s: %w", want.Name, want.Address, err)
	}
	if !want.Gateway.IsValid() {
		return nil
	}
	if err := nl.do(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, describeRoute(want, index)); err != nil {
		return fmt.Errorf("add the default route through %s: %w", want.Gateway, err)
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
		if err := virtio.Bind(device); err != nil {
			return "", err
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

func describeLink(want Interface, have string, index int32) []byte {
	b := linkMessage(index, unix.IFF_UP, unix.IFF_UP)
	if want.Name != have {
		b = appendAttribute(b, unix.IFLA_IFNAME, append([]byte(want.Name), 0))
	}
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

func describeRoute(want Interface, index int32) []byte {
	b := make([]byte, unix.SizeofRtMsg)
	b[0] = family(want.Gateway)
	b[4] = unix.RT_TABLE_MAIN
	b[5] = unix.RTPROT_STATIC
	b[6] = unix.RT_SCOPE_UNIVERSE
	b[7] = unix.RTN_UNICAST
	if !want.Address.Contains(want.Gateway) {
		binary.NativeEndian.PutUint32(b[8:], unix.RTNH_F_ONLINK)
	}
	b = appendAttribute(b, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(index)))
	return appendAttribute(b, unix.RTA_GATEWAY, want.Gateway.AsSlice())
}

func family(address netip.Addr) byte {
	if address.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
