package netdtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"banger.dev/banger/internal/netd/edge"
	"banger.dev/banger/internal/netd/plan"
	"golang.org/x/sys/unix"
)

// Namespace is a network namespace: a thread that is in it.
type Namespace struct {
	t    testing.TB
	work chan func()
	tid  int
}

// NewNamespace lasts as long as the test. It needs root, or to be root of a user namespace.
func NewNamespace(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t, work: make(chan func())}
	begun := make(chan error)
	go func() {
		// The thread is never given back: it ends with the goroutine.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		n.tid = unix.Gettid()
		begun <- err
		for f := range n.work {
			f()
		}
	}()
	if err := <-begun; err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.work) })
	n.IP("link set lo up")
	return n
}

// Do something in the namespace: sockets that are made and programs that are started by f itself are in it.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	n.work <- func() { done <- f() }
	return <-done
}

// IP runs commands of ip(8), one in each line.
func (n *Namespace) IP(lines string) {
	n.t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		err := n.Do(func() error {
			output, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("ip %s: %w: %s", strings.TrimSpace(line), err, output)
			}
			return nil
		})
		if err != nil {
			n.t.Fatal(err)
		}
	}
}

// Join two namespaces by a cable with an interface in each.
func Join(a *Namespace, nameInA string, b *Namespace, nameInB string) {
	a.t.Helper()
	a.IP("link add " + nameInA + " type veth peer name " + nameInB + " netns " + strconv.Itoa(b.tid))
	a.IP("link set dev " + nameInA + " up")
	b.IP("link set dev " + nameInB + " up")
}

// Plug gives the namespace the interface of a guest, whose frames go over a VMM's stream.
func (n *Namespace) Plug(stream net.Conn) {
	n.t.Helper()
	var tap *os.File
	err := n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq("eth0")
		if err != nil {
			return err
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			unix.Close(fd)
			return err
		}
		tap = os.NewFile(uintptr(fd), "tap")
		return nil
	})
	if err != nil {
		n.t.Fatalf("make a tap: %v", err)
	}
	n.t.Cleanup(func() {
		tap.Close()
		stream.Close()
	})
	n.IP(fmt.Sprintf(`link set eth0 address %s mtu %d up
		address add %s/24 dev eth0
		address add %s/64 dev eth0 nodad
		route add default via %s
		-6 route add default via %s`, plan.GuestMAC, plan.MTU, plan.Guest4, plan.Guest6, plan.Gateway4, plan.Gateway6))
	go pumpOut(tap, stream)
	go pumpIn(tap, stream)
}

func pumpOut(tap *os.File, stream net.Conn) {
	frame := make([]byte, 4+edge.MaxFrame)
	for {
		size, err := tap.Read(frame[4:])
		if err != nil {
			return
		}
		binary.BigEndian.PutUint32(frame, uint32(size))
		if _, err := stream.Write(frame[:4+size]); err != nil {
			return
		}
	}
}

func pumpIn(tap *os.File, stream net.Conn) {
	frame := make([]byte, edge.MaxFrame)
	for {
		var size [4]byte
		if _, err := io.ReadFull(stream, size[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(size[:])
		if _, err := io.ReadFull(stream, frame[:n]); err != nil {
			return
		}
		if _, err := tap.Write(frame[:n]); err != nil {
			return
		}
	}
}
