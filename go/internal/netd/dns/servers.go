package dns

import (
	"bufio"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

const resolvConf = "/etc/resolv.conf"

// maxServers are asked, as libc does.
const maxServers = 3

var errNoServers = errors.New("the host has no name server")

// Servers are the name servers of the host.
type Servers struct {
	fixed []netip.AddrPort

	mu      sync.Mutex
	read    []netip.AddrPort
	changed time.Time
}

// NewServers takes addresses, with or without a port. None: those of /etc/resolv.conf.
func NewServers(addresses []string) (*Servers, error) {
	s := &Servers{}
	for _, text := range addresses {
		server, err := netip.ParseAddrPort(text)
		if err != nil {
			address, err := netip.ParseAddr(text)
			if err != nil {
				return nil, errors.New("resolver " + text + " is not an address")
			}
			server = netip.AddrPortFrom(address, 53)
		}
		s.fixed = append(s.fixed, server)
	}
	return s, nil
}

// list is read again when the file has changed: a laptop changes its network.
func (s *Servers) list() ([]netip.AddrPort, error) {
	if len(s.fixed) > 0 {
		return s.fixed, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(resolvConf)
	if err != nil {
		return nil, errNoServers
	}
	if !info.ModTime().Equal(s.changed) {
		text, err := os.ReadFile(resolvConf)
		if err != nil {
			return nil, errNoServers
		}
		s.read, s.changed = parseResolvConf(string(text)), info.ModTime()
	}
	if len(s.read) == 0 {
		return nil, errNoServers
	}
	return s.read, nil
}

func parseResolvConf(text string) []netip.AddrPort {
	var servers []netip.AddrPort
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() && len(servers) < maxServers {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		if address, err := netip.ParseAddr(fields[1]); err == nil {
			servers = append(servers, netip.AddrPortFrom(address, 53))
		}
	}
	return servers
}
