package inspect

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"banger.dev/banger/internal/procfs"
)

const (
	// lookEvery finds what no event tells of: sockets of UDP, and all of them where there are no events.
	lookEvery       = 500 * time.Millisecond
	lookEveryBeside = 2 * time.Second
	// An event comes a little before the kernel's list says the same, and often with others.
	settle       = 50 * time.Millisecond
	lookAgain    = 250 * time.Millisecond
	maxListeners = 256
)

type service struct{}

// NewService returns the handler of InspectService.
func NewService() agentv1connect.InspectServiceHandler { return service{} }

// Listeners implements InspectService.
func (service) Listeners(ctx context.Context, request *connect.Request[agentv1.ListenersRequest], stream *connect.ServerStream[agentv1.ListenersResponse]) error {
	last := listeners()
	if err := stream.Send(last); err != nil {
		return err
	}
	if !request.Msg.GetFollow() {
		return nil
	}
	told, ok := listenEvents(ctx)
	every := lookEvery
	if ok {
		every = lookEveryBeside
	}
	again := false
	for next := time.Now().Add(every); ; {
		select {
		case <-ctx.Done():
			return connect.NewError(connect.CodeCanceled, ctx.Err())
		case <-told:
			if soon := time.Now().Add(settle); soon.Before(next) {
				next = soon
			}
			again = true
			continue
		case <-time.After(time.Until(next)):
		}
		next = time.Now().Add(every)
		if again {
			next = time.Now().Add(lookAgain)
			again = false
		}
		now := listeners()
		if proto.Equal(now, last) {
			continue
		}
		if err := stream.Send(now); err != nil {
			return err
		}
		last = now
	}
}

// socketTable is one of the kernel's lists, and what its state says for a socket that waits for others.
type socketTable struct {
	file, protocol, state string
}

var tables = []socketTable{
	{"/proc/net/tcp", "tcp", "0A"}, {"/proc/net/tcp6", "tcp", "0A"},
	{"/proc/net/udp", "udp", "07"}, {"/proc/net/udp6", "udp", "07"},
}

func listeners() *agentv1.ListenersResponse {
	byInode := map[string]*agentv1.ListenersResponse_Listener{}
	for _, table := range tables {
		file, err := os.Open(table.file)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			if listener, inode, ok := parseSocket(lines.Text(), table); ok {
				byInode[inode] = listener
			}
		}
		file.Close()
	}
	nameOwners(byInode)
	reply := &agentv1.ListenersResponse{}
	for _, listener := range byInode {
		reply.Listeners = append(reply.Listeners, listener)
	}
	slices.SortFunc(reply.Listeners, func(a, b *agentv1.ListenersResponse_Listener) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Pid, b.Pid))
	})
	if len(reply.Listeners) > maxListeners {
		reply.Listeners, reply.Truncated = reply.Listeners[:maxListeners], true
	}
	return reply
}

// parseSocket reads a line such as "0: 0100007F:1F90 00000000:0000 0A ... uid timeout inode".
func parseSocket(line string, table socketTable) (*agentv1.ListenersResponse_Listener, string, bool) {
	fields := strings.Fields(line)
	if len(fields) < 10 || fields[3] != table.state {
		return nil, "", false
	}
	host, port, found := strings.Cut(fields[1], ":")
	number, err := strconv.ParseUint(port, 16, 16)
	address, ok := parseAddress(host)
	if !found || err != nil || !ok {
		return nil, "", false
	}
	return &agentv1.ListenersResponse_Listener{Protocol: table.protocol, Address: address, Port: uint32(number)}, fields[9], true
}

// parseAddress: the kernel writes each four bytes as one number of this machine, which is little-endian wherever the agent runs.
func parseAddress(text string) (string, bool) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return "", false
	}
	for at := 0; at < len(raw); at += 4 {
		slices.Reverse(raw[at : at+4])
	}
	address, ok := netip.AddrFromSlice(raw)
	return address.String(), ok
}

// nameOwners finds the processes that hold the sockets, and stops when each has one.
func nameOwners(byInode map[string]*agentv1.ListenersResponse_Listener) {
	left := len(byInode)
	found, err := procfs.PIDs()
	if err != nil {
		return
	}
	for _, pid := range found {
		if left == 0 {
			return
		}
		directory := "/proc/" + strconv.Itoa(pid) + "/fd"
		entries, err := os.ReadDir(directory)
		if err != nil {
			continue
		}
		for _, entry := range entries {
			target, err := os.Readlink(directory + "/" + entry.Name())
			if err != nil {
				continue
			}
			inode, isSocket := strings.CutPrefix(target, "socket:[")
			listener := byInode[strings.TrimSuffix(inode, "]")]
			if !isSocket || listener == nil || listener.Pid != 0 {
				continue
			}
			if owner, ok := procfs.Read(pid); ok {
				listener.Pid, listener.Process, listener.Command = uint32(pid), strings.ToValidUTF8(owner.Name, "\uFFFD"), command(owner)
				left--
			}
		}
	}
}
