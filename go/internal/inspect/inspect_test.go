package inspect

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	"connectrpc.com/connect"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F":                         "127.0.0.1",
		"00000000":                         "0.0.0.0",
		"00000000000000000000000001000000": "::1",
		"0000000000000000FFFF00000100007F": "::ffff:127.0.0.1",
	} {
		if got, ok := parseAddress(text); !ok || got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
	for _, bad := range []string{"", "zz", "0100", "010000"} {
		if _, ok := parseAddress(bad); ok {
			t.Errorf("parseAddress takes %q", bad)
		}
	}
}

func TestListenersOfThisProcess(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint32(listener.Addr().(*net.TCPAddr).Port)
	find := func() *agentv1.ListenersResponse_Listener {
		for _, one := range listeners().Listeners {
			if one.Port == port && one.Protocol == "tcp" {
				return one
			}
		}
		return nil
	}
	found := find()
	if found == nil || found.Address != "127.0.0.1" || int(found.Pid) != os.Getpid() || found.Command == "" {
		t.Errorf("found %v", found)
	}
	listener.Close()
	if found := find(); found != nil {
		t.Errorf("still listed: %v", found)
	}
}

func TestProcessesCountProcessorTime(t *testing.T) {
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	defer close(stop)
	request := connect.NewRequest(&agentv1.ProcessesRequest{IntervalMs: 200})
	reply, err := service{}.Processes(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range reply.Msg.Processes {
		if int(one.Pid) == os.Getpid() {
			if one.CpuPercent <= 0 || one.ResidentBytes == 0 || int(one.Uid) != os.Getuid() {
				t.Errorf("this process: %v", one)
			}
			return
		}
	}
	t.Error("this process is not listed")
}

// Where the kernel gives tracepoints to this process; elsewhere there is nothing to see.
func TestEventsOfListeners(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	told, ok := listenEvents(ctx)
	if !ok {
		if told != nil {
			t.Error("a channel without events")
		}
		t.Log("no tracepoints here")
		return
	}
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
		case <-time.After(20 * time.Second):
			t.Fatal("waited for the event of a listener")
		}
		listener.Close()
	}
}
