package addresses

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// OwnAddresses asks the kernel of the host whether an address is the host's own: its routing table knows of addresses that no interface
// shows (a local route for a whole range), and knows them at once. Safe for use by many.
type OwnAddresses struct {
	mu       sync.Mutex
	fd       int
	open     bool
	sequence uint32
}

// Is says whether packets to the address would stay on this host, or go to everybody on its link. An address that the kernel cannot be asked
// about counts as the host's own: nothing is reached by a failure. An address without a route is not the host's.
func (o *OwnAddresses) Is(address netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	kind, err := o.routeKind(address)
	if err != nil {
		o.close()
		if kind, err = o.routeKind(address); err != nil {
			o.close()
			return !noRoute(err)
		}
	}
	return kind == unix.RTN_LOCAL || kind == unix.RTN_BROADCAST || kind == unix.RTN_ANYCAST
}

func noRoute(err error) bool {
	return err == unix.ENETUNREACH || err == unix.EHOSTUNREACH || err == unix.EACCES || err == unix.EINVAL
}

func (o *OwnAddresses) close() {
	if o.open {
		unix.Close(o.fd)
		o.open = false
	}
}

func (o *OwnAddresses) routeKind(address netip.Addr) (byte, error) {
	if !o.open {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return 0, err
		}
		// The kernel answers at once; a bound only for what cannot be.
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1}); err != nil {
			unix.Close(fd)
			return 0, err
		}
		o.fd, o.open = fd, true
	}
	o.sequence++
	if err := unix.Sendto(o.fd, routeRequest(address, o.sequence), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, err
	}
	reply := make([]byte, 4096)
	for {
		n, _, err := unix.Recvfrom(o.fd, reply, 0)
		if err != nil {
			return 0, err
		}
		if n < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint32(reply[8:]) != o.sequence {
			continue
		}
		if binary.NativeEndian.Uint16(reply[4:]) == unix.NLMSG_ERROR {
			return 0, unix.Errno(-int32(binary.NativeEndian.Uint32(reply[unix.NLMSG_HDRLEN:])))
		}
		if n < unix.NLMSG_HDRLEN+unix.SizeofRtMsg {
			return 0, unix.EBADMSG
		}
		// rtm_type
		return reply[unix.NLMSG_HDRLEN+7], nil
	}
}

// routeRequest is an RTM_GETROUTE for one destination.
func routeRequest(address netip.Addr, sequence uint32) []byte {
	raw := address.AsSlice()
	b := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofRtMsg, 64)
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_GETROUTE)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	binary.NativeEndian.PutUint32(b[8:], sequence)
	b[unix.NLMSG_HDRLEN] = unix.AF_INET
	if address.Is6() {
		b[unix.NLMSG_HDRLEN] = unix.AF_INET6
	}
	b[unix.NLMSG_HDRLEN+1] = byte(len(raw) * 8)
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(raw)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	b = append(b, raw...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}
