package main

import (
	"context"
	"errors"
	"net"
	"time"
)

// The VMM makes its socket some time after its start: it is looked for that often.
const lookEvery = 5 * time.Millisecond

// meeting is the way to the VMM: one of the two is set.
type meeting struct {
	listener *net.UnixListener
	path     string
}

func meet(o *options) (*meeting, error) {
	if o.vmConnect != "" {
		return &meeting{path: o.vmConnect}, nil
	}
	listener, err := listen(o.vmSocket)
	return &meeting{listener: listener}, err
}

// wait for the VMM. There is one only: the socket is gone when it has come.
func (m *meeting) wait(ctx context.Context, timeout time.Duration) (net.Conn, error) {
	if m.listener != nil {
		defer m.listener.Close()
		m.listener.SetDeadline(time.Now().Add(timeout))
		conn, err := m.listener.Accept()
		if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
			return nil, errNobody
		}
		return conn, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		conn, err := net.Dial("unix", m.path)
		if err == nil {
			return conn, nil
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return nil, errNobody
		}
	}
}

func (m *meeting) close() {
	if m.listener != nil {
		m.listener.Close()
	}
}
