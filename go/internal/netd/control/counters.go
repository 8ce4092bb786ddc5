package control

import (
	"bytes"
	"os"
	"runtime"
	"strconv"

	netdv1 "banger.dev/banger/internal/gen/banger/netd/v1"
	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/policy"
)

func counters(n *netd.Network) *netdv1.Counters {
	link := &n.Link.Counters
	c := &netdv1.Counters{
		FramesFromGuest: link.FramesFromGuest.Load(), BytesFromGuest: link.BytesFromGuest.Load(),
		FramesToGuest: link.FramesToGuest.Load(), BytesToGuest: link.BytesToGuest.Load(),
		FramesDropped: link.Dropped.Load(), DnsQuestions: n.Names.Questions.Load(),
	}
	open, total := n.Flows.Count(policy.TCP)
	c.TcpOpen, c.TcpTotal = uint64(open), total
	open, total = n.Flows.Count(policy.UDP)
	c.UdpOpen, c.UdpTotal = uint64(open), total
	c.Denied, c.Limited = n.Journal.Denials()
	return c
}

func memory() *netdv1.Memory {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	m := &netdv1.Memory{HeapBytes: stats.HeapAlloc, Goroutines: uint32(runtime.NumGoroutine())}
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.Descriptors = uint32(len(entries))
	}
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(text); len(fields) > 1 {
			pages, _ := strconv.ParseUint(string(fields[1]), 10, 64)
			m.ResidentBytes = pages * uint64(os.Getpagesize())
		}
	}
	return m
}
