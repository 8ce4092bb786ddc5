package inspect

import (
	"context"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

const (
	maxListed   = 1000
	maxInterval = 5 * time.Second
)

// Processes implements InspectService.
func (service) Processes(ctx context.Context, request *connect.Request[agentv1.ProcessesRequest]) (*connect.Response[agentv1.ProcessesResponse], error) {
	interval := min(time.Duration(request.Msg.GetIntervalMs())*time.Millisecond, maxInterval)
	before := map[uint32]stat{}
	began := time.Now()
	if interval > 0 {
		found, err := pids()
		if err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		for _, pid := range found {
			if s, ok := readStat(pid); ok {
				before[s.pid] = s
			}
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return nil, connect.NewError(connect.CodeCanceled, ctx.Err())
		}
	}
	watchedMs := time.Since(began).Milliseconds()
	found, err := pids()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	now := uptimeMs()
	reply := &agentv1.ProcessesResponse{}
	for _, pid := range found {
		s, ok := readStat(pid)
		if !ok {
			continue
		}
		age := now - min(now, s.startedMs)
		spent, during := s.cpuMs, age
		// A number that was given to another process meanwhile is that one's from its beginning.
		if old, ok := before[s.pid]; ok && old.startedMs == s.startedMs {
			spent, during = s.cpuMs-min(s.cpuMs, old.cpuMs), uint64(watchedMs)
		}
		reply.Processes = append(reply.Processes, &agentv1.ProcessesResponse_Process{
			Pid: s.pid, ParentPid: s.parent, Uid: ownerOf(pid), State: s.state,
			CpuPercent: 100 * float64(spent) / float64(max(during, 1)), CpuMs: s.cpuMs,
			ResidentBytes: s.residentBytes, Command: command(s), AgeMs: age,
		})
	}
	slices.SortFunc(reply.Processes, func(a, b *agentv1.ProcessesResponse_Process) int {
		if a.CpuPercent != b.CpuPercent {
			if a.CpuPercent > b.CpuPercent {
				return -1
			}
			return 1
		}
		return int(a.Pid) - int(b.Pid)
	})
	if len(reply.Processes) > maxListed {
		reply.Processes, reply.Truncated = reply.Processes[:maxListed], true
	}
	return connect.NewResponse(reply), nil
}

func ownerOf(pid int) uint32 {
	var info unix.Stat_t
	if err := unix.Stat("/proc/"+strconv.Itoa(pid), &info); err != nil {
		return 0
	}
	return info.Uid
}

func uptimeMs() uint64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return uint64(now.Nano() / int64(time.Millisecond))
}
