// Command banger-netd is the network of one VM, in user space: proto/banger/netd/v1/netd.proto says how it is called and spoken with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"banger.dev/banger/internal/netd"
	"banger.dev/banger/internal/netd/control"
	"banger.dev/banger/internal/netd/settings"
	"gvisor.dev/gvisor/pkg/log"
)

// version is set by scripts/build-go.sh.
var version = "dev"

// Statuses of the contract.
const (
	statusFailed  = 1
	statusUsage   = 2
	statusNobody  = 3
	statusSuccess = 0
)

type options struct {
	vmSocket, vmConnect, controlSocket, config string
	readyFD                                    int
	connectTimeout                             time.Duration
}

func main() {
	var o options
	flags := flag.NewFlagSet("banger-netd", flag.ContinueOnError)
	flags.StringVar(&o.vmSocket, "vm-socket", "", "listen there for a VMM")
	flags.StringVar(&o.vmConnect, "vm-connect", "", "connect to a VMM that listens there")
	flags.StringVar(&o.controlSocket, "control-socket", "", "where to be spoken with")
	flags.StringVar(&o.config, "config", "", "configuration, in JSON")
	flags.IntVar(&o.readyFD, "ready-fd", 1, "descriptor that is told when all is ready")
	flags.DurationVar(&o.connectTimeout, "connect-timeout", time.Minute, "give up when no VMM was met for so long")
	showVersion := flags.Bool("version", false, "print the version")
	if err := flags.Parse(os.Args[1:]); err != nil {
		os.Exit(statusUsage)
	}
	if *showVersion {
		fmt.Println(version)
		return
	}
	if (o.vmSocket == "") == (o.vmConnect == "") || o.controlSocket == "" || o.config == "" || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "banger-netd: give --vm-socket or --vm-connect, --control-socket and --config")
		os.Exit(statusUsage)
	}
	// A leader of its own session lives on when its parent's terminal or session ends. It fails for one that is a leader already.
	syscall.Setsid()
	// What the stack would say of strange packets is the guest's doing.
	log.SetLevel(log.Warning)
	switch err := run(&o); {
	case errors.Is(err, errNobody):
		fmt.Fprintln(os.Stderr, "banger-netd:", err)
		os.Exit(statusNobody)
	case err != nil:
		fmt.Fprintln(os.Stderr, "banger-netd:", err)
		os.Exit(statusFailed)
	}
	os.Exit(statusSuccess)
}

var errNobody = errors.New("no VMM was met in time")

func run(o *options) error {
	s, err := settings.Read(o.config)
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	network, err := netd.New(s, nil)
	if err != nil {
		return err
	}
	defer network.Close()
	// Only its owner may connect, from the moment that a socket is there.
	syscall.Umask(0o177)
	listener, err := listen(o.controlSocket)
	if err != nil {
		return err
	}
	defer listener.Close()
	meeting, err := meet(o)
	if err != nil {
		return err
	}
	defer meeting.close()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ended := make(chan error, 2)
	go func() { ended <- control.Serve(listener, network, version, stop) }()
	go func() {
		vmm, err := meeting.wait(ctx, o.connectTimeout)
		if err == nil {
			defer vmm.Close()
			err = network.Attach(vmm)
		}
		ended <- err
	}()
	if err := sayReady(o.readyFD); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

// sayReady writes one line. Nobody needs to read it.
func sayReady(fd int) error {
	file := os.NewFile(uintptr(fd), "ready")
	if file == nil {
		return fmt.Errorf("there is no descriptor %d to say ready on", fd)
	}
	_, err := file.WriteString("ready\n")
	if errors.Is(err, syscall.EPIPE) {
		err = nil
	}
	if fd > 2 {
		file.Close()
	}
	if err != nil {
		return fmt.Errorf("say ready on descriptor %d: %w", fd, err)
	}
	return nil
}

// listen takes a socket's place, also that of one whose process was killed. One that somebody answers on is left alone.
func listen(path string) (*net.UnixListener, error) {
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: another process does", path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		os.Remove(path)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return listener, nil
}
