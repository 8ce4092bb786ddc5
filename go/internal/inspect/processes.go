// Package inspect shows what goes on in the guest: its processes and the sockets that they listen on, read from /proc.
package inspect

import (
	"context"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/procfs"
)

const (
	maxListed   = 1000
	maxInterval = 5 * time.Second
)

// Processes implements InspectService.
func (service) Processes(ctx context.Context, request *connect.Request[agentv1.ProcessesRequest]) (*connect.Response[agentv1.ProcessesResponse], error) {
	interval := min(time.Duration(request.Msg.GetIntervalMs())*time.Millisecond, maxInterval)
	before := map[int]procfs.Process{}
	began := time.Now()
	if interval > 0 {
		found, err := processes()
		if err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
		for _, one := range found {
			before[one.PID] = one
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return nil, connect.NewError(connect.CodeCanceled, ctx.Err())
		}
	}
	watchedMs := time.Since(began).Milliseconds()
	found, err := processes()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	now := uptimeMs()
	reply := &agentv1.ProcessesResponse{}
	for _, one := range found {
		age := now - min(now, one.StartedMs)
		spent, during := one.CPUMs, age
		// A number that was given to another process meanwhile is that one's from its beginning.
		if old, ok := before[one.PID]; ok && old.StartedMs == one.StartedMs {
			spent, during = one.CPUMs-min(one.CPUMs, old.CPUMs), uint64(watchedMs)
		}
		reply.Processes = append(reply.Processes, &agentv1.ProcessesResponse_Process{
			Pid: uint32(one.PID), ParentPid: uint32(one.Parent), Uid: ownerOf(one.PID), State: one.State,
			CpuPercent: 100 * float64(spent) / float64(max(during, 1)), CpuMs: one.CPUMs,
			ResidentBytes: one.ResidentBytes, Command: command(one), AgeMs: age,
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

// processes are all but the kernel's threads; the dead that wait to be collected are what somebody looks for, too.
func processes() ([]procfs.Process, error) {
	pids, err := procfs.PIDs()
	if err != nil {
		return nil, err
	}
	found := make([]procfs.Process, 0, len(pids))
	for _, pid := range pids {
		if one, ok := procfs.Read(pid); ok && !one.IsKernel() {
			found = append(found, one)
		}
	}
	return found, nil
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
