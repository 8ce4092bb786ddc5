package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

const connectTimeout = 10 * time.Second

// halfCloser is what TCP and unix stream connections are.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// connect reaches a target: unavailable when nothing answers there, not_found for a service that does not exist.
func (s *service) connect(ctx context.Context, target *agentv1.DialTarget) (halfCloser, error) {
	switch kind := target.GetTarget().(type) {
	case *agentv1.DialTarget_Tcp:
		return dialTCP(ctx, kind.Tcp)
	case *agentv1.DialTarget_Unix:
		if !filepath.IsAbs(kind.Unix) && !strings.HasPrefix(kind.Unix, "@") {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("unix socket %q: not an absolute path", kind.Unix))
		}
		return dial(ctx, "unix", kind.Unix)
	case *agentv1.DialTarget_Service:
		serve, known := s.services[kind.Service]
		if !known {
			return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("service %q: the agent has none of this name", kind.Service))
		}
		return startService(serve)
	default:
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("the first dial request must be a target"))
	}
}

// dialTCP takes "host:port" or a bare port, which means the loopback: of IPv4, else of IPv6, where some servers listen alone.
func dialTCP(ctx context.Context, address string) (halfCloser, error) {
	if port, err := strconv.ParseUint(address, 10, 16); err == nil && port > 0 {
		connection, err := dial(ctx, "tcp", net.JoinHostPort("127.0.0.1", address))
		if err != nil {
			if overIPv6, errIPv6 := dial(ctx, "tcp", net.JoinHostPort("::1", address)); errIPv6 == nil {
				return overIPv6, nil
			}
		}
		return connection, err
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" || port == "0" {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("TCP target %q: neither a port nor host:port", address))
	}
	return dial(ctx, "tcp", address)
}

func dial(ctx context.Context, network, address string) (halfCloser, error) {
	dialer := net.Dialer{Timeout: connectTimeout}
	connection, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, connect.NewError(connect.CodeUnavailable, fmt.Errorf("connect to %s %q: %w", network, address, reason(err)))
	}
	return connection.(halfCloser), nil
}

// reason drops the addresses that the caller's message has already.
func reason(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		err = call.Err
	}
	return err
}

// startService gives a service one end of a socket pair: unlike a pipe in memory it can be half-closed and buffers.
func startService(serve func(net.Conn)) (halfCloser, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, connect.NewError(connect.CodeResourceExhausted, err)
	}
	ours, err := asConnection(ends[0])
	if err != nil {
		unix.Close(ends[1])
		return nil, err
	}
	theirs, err := asConnection(ends[1])
	if err != nil {
		ours.Close()
		return nil, err
	}
	go serve(theirs)
	return ours, nil
}

func asConnection(fd int) (halfCloser, error) {
	file := os.NewFile(uintptr(fd), "service")
	defer file.Close()
	connection, err := net.FileConn(file)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connection.(halfCloser), nil
}
