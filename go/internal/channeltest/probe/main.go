// Command probe drives one agent by hand, through its socket: for those who work on the agent.
//
//	probe SOCKET hello | configure [WORK] [ADDRESS_CIDR GATEWAY] | stats | exec ARGV... | ssh-banner | shutdown | bench
package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"time"

	"banger.dev/banger/internal/channeltest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: probe SOCKET COMMAND [ARGUMENT...]")
		os.Exit(2)
	}
	code, err := run(os.Args[1], os.Args[2], os.Args[3:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "probe: %v\n", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func run(socket, command string, arguments []string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	begin := time.Now()
	conn, err := dial(ctx, socket)
	if err != nil {
		return 1, err
	}
	host, err := channeltest.Connect(ctx, conn)
	if err != nil {
		return 1, err
	}
	defer host.Close()
	fmt.Fprintf(os.Stderr, "probe: handshake after %s\n", time.Since(begin).Round(100*time.Microsecond))
	defer func(begin time.Time) {
		fmt.Fprintf(os.Stderr, "probe: %s took %s\n", command, time.Since(begin).Round(100*time.Microsecond))
	}(time.Now())
	switch command {
	case "hello":
		return show(host.Agent.Hello(ctx, connect.NewRequest(&agentv1.HelloRequest{})))
	case "configure":
		return show(host.Agent.Configure(ctx, connect.NewRequest(configuration(arguments))))
	case "stats":
		return show(host.Agent.Stats(ctx, connect.NewRequest(&agentv1.StatsRequest{})))
	case "shutdown":
		return show(host.Agent.Shutdown(ctx, connect.NewRequest(&agentv1.ShutdownRequest{})))
	case "exec":
		return exec(ctx, host, arguments)
	case "ssh-banner":
		return banner(ctx, host)
	case "bench":
		return 0, bench(ctx, host)
	default:
		return 2, fmt.Errorf("unknown command %q", command)
	}
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func show[T any](response *connect.Response[T], err error) (int, error) {
	if err != nil {
		return 1, err
	}
	fmt.Println(any(response.Msg).(proto.Message))
	return 0, nil
}

func configuration(arguments []string) *agentv1.ConfigureRequest {
	entropy := make([]byte, 64)
	_, _ = rand.Read(entropy)
	request := &agentv1.ConfigureRequest{
		VmId: "probe", Hostname: "probe", WallClockUnixNanos: time.Now().UnixNano(), Entropy: entropy,
		Disks: &agentv1.DiskLayout{BaseSerial: "base", OverlaySerial: "overlay"},
		Ssh:   &agentv1.SshConfig{HostKeyPem: newKey()},
	}
	if len(arguments) > 0 {
		request.Disks.WorkSerial = arguments[0]
	}
	if len(arguments) > 2 {
		request.Network = &agentv1.NetworkConfig{
			Interface: "eth0", AddressCidr: arguments[1], Gateway: arguments[2], DnsServers: []string{arguments[2]},
		}
	}
	return request
}

func newKey() []byte {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	der, _ := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func banner(ctx context.Context, host *channeltest.Host) (int, error) {
	stream := host.Port.Dial(ctx)
	target := &agentv1.DialTarget{Target: &agentv1.DialTarget_Service{Service: "ssh"}}
	if err := stream.Send(&agentv1.DialRequest{Message: &agentv1.DialRequest_Target{Target: target}}); err != nil {
		return 1, err
	}
	for {
		response, err := stream.Receive()
		if err != nil {
			return 1, err
		}
		if data := response.GetData(); data != nil {
			fmt.Printf("%q\n", data)
			return 0, nil
		}
	}
}

func exec(ctx context.Context, host *channeltest.Host, argv []string) (int, error) {
	stream := host.Process.Exec(ctx)
	start := &agentv1.ExecRequest{Message: &agentv1.ExecRequest_Start{Start: &agentv1.ExecStart{Argv: argv}}}
	if err := stream.Send(start); err != nil {
		return 1, err
	}
	for {
		response, err := stream.Receive()
		if err != nil {
			return 1, err
		}
		switch message := response.Message.(type) {
		case *agentv1.ExecResponse_Stdout:
			os.Stdout.Write(message.Stdout)
		case *agentv1.ExecResponse_Stderr:
			os.Stderr.Write(message.Stderr)
		case *agentv1.ExecResponse_Exit:
			return int(message.Exit.Code), nil
		}
	}
}

func bench(ctx context.Context, host *channeltest.Host) error {
	const pings = 50
	begin := time.Now()
	for range pings {
		if _, err := host.Agent.Hello(ctx, connect.NewRequest(&agentv1.HelloRequest{})); err != nil {
			return err
		}
	}
	fmt.Printf("hello round trip: %s\n", time.Since(begin)/pings)
	for _, argv := range [][]string{{"/bin/true"}, {"/bin/true"}, {"/bin/true"}} {
		begin = time.Now()
		if _, err := exec(ctx, host, argv); err != nil {
			return err
		}
		fmt.Printf("exec true: %s\n", time.Since(begin))
	}
	return upload(ctx, host)
}

func upload(ctx context.Context, host *channeltest.Host) error {
	const (
		chunkBytes = 64 << 10
		chunks     = 512
	)
	begin := time.Now()
	stream := host.Process.Exec(ctx)
	start := &agentv1.ExecStart{Argv: []string{"wc", "-c"}, Stdin: true}
	if err := stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_Start{Start: start}}); err != nil {
		return err
	}
	chunk := &agentv1.ExecRequest{Message: &agentv1.ExecRequest_Stdin{Stdin: make([]byte, chunkBytes)}}
	for range chunks {
		if err := stream.Send(chunk); err != nil {
			return err
		}
	}
	if err := stream.Send(&agentv1.ExecRequest{Message: &agentv1.ExecRequest_StdinEof{StdinEof: true}}); err != nil {
		return err
	}
	for {
		response, err := stream.Receive()
		if err != nil {
			return err
		}
		if response.GetExit() != nil {
			fmt.Printf("upload: %.1f MiB/s\n", float64(chunks*chunkBytes>>20)/time.Since(begin).Seconds())
			return nil
		}
	}
}
