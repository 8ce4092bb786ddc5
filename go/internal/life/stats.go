package life

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"connectrpc.com/connect"
	"golang.org/x/sys/unix"
)

// Uptime is the time since the machine was started.
func Uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// Health answers yes when the kernel has room for another process; that the guest runs was checked before.
func (s *Service) Health(context.Context, *connect.Request[agentv1.HealthRequest]) (*connect.Response[agentv1.HealthResponse], error) {
	reply := &agentv1.HealthResponse{Healthy: true, UptimeMs: uint64(Uptime().Milliseconds())}
	load := readLoad()
	limit, err := readNumber("/proc/sys/kernel/threads-max")
	if err != nil {
		reply.Healthy, reply.Reason = false, err.Error()
	} else if load.tasks >= limit {
		reply.Healthy, reply.Reason = false, fmt.Sprintf("%d tasks exist, the kernel allows %d", load.tasks, limit)
	}
	return connect.NewResponse(reply), nil
}

// Stats reads everything anew at each call.
func (s *Service) Stats(context.Context, *connect.Request[agentv1.StatsRequest]) (*connect.Response[agentv1.StatsResponse], error) {
	total, available := readMemory()
	processes, err := userProcesses()
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	reply := &agentv1.StatsResponse{
		UptimeMs:             uint64(Uptime().Milliseconds()),
		MemoryTotalBytes:     total,
		MemoryAvailableBytes: available,
		Load1:                readLoad().one,
		Processes:            uint32(processes),
	}
	for _, usage := range s.machine.Disks() {
		reply.Disks = append(reply.Disks, &agentv1.StatsResponse_Disk{
			MountPoint: usage.MountPoint, TotalBytes: usage.TotalBytes, UsedBytes: usage.UsedBytes,
		})
	}
	return connect.NewResponse(reply), nil
}

func readMemory() (total, available uint64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseUint(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, available
}

type load struct {
	one   float64
	tasks uint64
}

// readLoad reads "0.20 0.18 0.12 1/80 11206": the load of the last minute and the number of tasks.
func readLoad() load {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	if len(fields) < 4 {
		return load{}
	}
	one, _ := strconv.ParseFloat(fields[0], 64)
	_, all, _ := strings.Cut(fields[3], "/")
	tasks, _ := strconv.ParseUint(all, 10, 64)
	return load{one, tasks}
}

func readNumber(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
