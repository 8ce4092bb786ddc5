// Package peers is who is in a network of VMs, as one of them sees it.
package peers

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd/names"
	"banger.dev/banger/internal/netd/plan"
)

const (
	maxPeers = 1024
	// Longest path of a unix socket, with the ending of the second one.
	maxPath = 107 - len(Datagrams)
)

// Datagrams is the ending of the socket that datagrams come by.
const Datagrams = ".datagrams"

// Peer is one VM of a network.
type Peer struct {
	// Name ends with ".vm".
	Name              string
	Address, Address6 netip.Addr
	Socket            string
}

// Network is immutable; nil is none.
type Network struct {
	Name      string
	Self      Peer
	byAddress map[netip.Addr]Peer
	byName    map[string]Peer
}

// Parse the words of the contract. Nil, or without a network: none.
func Parse(words *netdv1.Peers) (*Network, error) {
	if words.GetNetwork() == "" {
		return nil, nil
	}
	if len(words.Others) > maxPeers {
		return nil, fmt.Errorf("a network has at most %d VMs", maxPeers)
	}
	n := &Network{Name: words.Network, byAddress: map[netip.Addr]Peer{}, byName: map[string]Peer{}}
	var err error
	if n.Self, err = parsePeer(words.Self); err != nil {
		return nil, err
	}
	for _, word := range words.Others {
		peer, err := parsePeer(word)
		if err != nil {
			return nil, err
		}
		if _, twice := n.byAddress[peer.Address]; twice || peer.Address == n.Self.Address {
			return nil, fmt.Errorf("two VMs of the network have the address %s", peer.Address)
		}
		if _, twice := n.byName[peer.Name]; twice || peer.Name == n.Self.Name {
			return nil, fmt.Errorf("two VMs of the network are called %s", peer.Name)
		}
		n.byAddress[peer.Address], n.byAddress[peer.Address6], n.byName[peer.Name] = peer, peer, peer
	}
	return n, nil
}

func parsePeer(word *netdv1.Peer) (Peer, error) {
	if word == nil {
		return Peer{}, errors.New("the network does not say which VM this is")
	}
	name, err := names.Normalize(word.Name + ".vm")
	if err != nil || strings.Count(name, ".") != 1 || name == plan.HostName {
		return Peer{}, fmt.Errorf("%q is no name of a VM in a network", word.Name)
	}
	address, err := netip.ParseAddr(word.Ipv4)
	if err != nil || !plan.Peers4.Contains(address) {
		return Peer{}, fmt.Errorf("VM %q: %q is no address in %s", word.Name, word.Ipv4, plan.Peers4)
	}
	if !filepath.IsAbs(word.Socket) || len(word.Socket) > maxPath {
		return Peer{}, fmt.Errorf("VM %q: its socket needs an absolute path of at most %d characters", word.Name, maxPath)
	}
	return Peer{name, address, plan.Peer6(address), word.Socket}, nil
}

// Other VM with an address.
func (n *Network) Other(address netip.Addr) (Peer, bool) {
	if n == nil {
		return Peer{}, false
	}
	peer, ok := n.byAddress[address]
	return peer, ok
}

// Lookup a name: another VM's addresses, or this one's as the guest has them.
func (n *Network) Lookup(name string) (four, six netip.Addr, ok bool) {
	if n == nil {
		return netip.Addr{}, netip.Addr{}, false
	}
	if name == n.Self.Name {
		return plan.Guest4, plan.Guest6, true
	}
	peer, ok := n.byName[name]
	return peer.Address, peer.Address6, ok
}
