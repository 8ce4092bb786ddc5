package inspect

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	tracepoint = "events/sock/inet_sock_set_state"
	// A TCP socket begins to listen, or ends: TCP_LISTEN is 10.
	listening = "newstate == 10 || oldstate == 10"
)

// listenEvents tells when a TCP socket begins or ends to listen, as the kernel's tracepoint does, until ctx is done. The second result is
// false where the kernel has no tracepoints or does not give them to this process.
func listenEvents(ctx context.Context) (<-chan struct{}, bool) {
	id, err := tracepointID()
	if err != nil {
		return nil, false
	}
	told := make(chan struct{}, 1)
	var sources []*eventSource
	for cpu := range runtime.NumCPU() {
		source, err := openEvents(id, cpu)
		if err != nil {
			for _, other := range sources {
				other.file.Close()
			}
			return nil, false
		}
		sources = append(sources, source)
		go source.follow(told)
	}
	context.AfterFunc(ctx, func() {
		for _, source := range sources {
			source.file.Close()
		}
	})
	return told, true
}

// tracepointID asks a file system that is mounted nowhere.
func tracepointID() (uint64, error) {
	system, err := unix.Fsopen("tracefs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	defer unix.Close(system)
	if err := unix.FsconfigCreate(system); err != nil {
		return 0, err
	}
	mount, err := unix.Fsmount(system, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, tracepoint+"/id", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	text := make([]byte, 32)
	read, err := unix.Read(fd, text)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text[:read])), 10, 64)
}

// eventSource is the tracepoint on one processor.
type eventSource struct {
	file *os.File
	// ring is the kernel's page with the positions, and one of events.
	ring []byte
}

func openEvents(id uint64, cpu int) (*eventSource, error) {
	attributes := unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id, Sample: 1, Wakeup: 1}
	attributes.Size = uint32(unsafe.Sizeof(attributes))
	fd, err := unix.PerfEventOpen(&attributes, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	filter := []byte(listening + "\x00")
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_SET_FILTER, uintptr(unsafe.Pointer(&filter[0])))
	if errno != 0 {
		unix.Close(fd)
		return nil, errno
	}
	// Before it is polled: without a ring that says hang-up.
	ring, err := unix.Mmap(fd, 0, 2*os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &eventSource{file: os.NewFile(uintptr(fd), tracepoint), ring: ring}, nil
}

// follow passes on that there was something until the file is closed. What it was does not matter: the lists of the kernel say it.
func (s *eventSource) follow(told chan<- struct{}) {
	defer func() { _ = unix.Munmap(s.ring) }()
	connection, err := s.file.SyscallConn()
	for err == nil {
		err = connection.Read(func(uintptr) bool { return s.drain() })
		select {
		case told <- struct{}{}:
		default:
		}
	}
	if !errors.Is(err, os.ErrClosed) {
		s.file.Close()
	}
}

// drain gives all events back to the kernel, which drops new ones when there is no room, and says whether there were any.
func (s *eventSource) drain() bool {
	page := (*unix.PerfEventMmapPage)(unsafe.Pointer(&s.ring[0]))
	head := atomic.LoadUint64(&page.Data_head)
	if head == page.Data_tail {
		return false
	}
	atomic.StoreUint64(&page.Data_tail, head)
	return true
}
