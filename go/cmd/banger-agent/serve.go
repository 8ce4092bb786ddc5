package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"

	"banger.dev/banger/internal/channel"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/life"
)

// serveSocket is the hosted way to run, for tests on a developer's machine: a guest that runs already, with nothing of
// PID 1's work. Hosts are served one after the other, as QEMU does it.
func serveSocket(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := os.Chmod(path, 0o600); err != nil {
		return err
	}
	prepared := make(chan struct{})
	close(prepared)
	state := guest.NewRunning(guest.Config{VMID: "hosted"})
	service := life.NewService(state, life.Hosted{}, version, prepared)
	handler := newHandler(state, service, &sshService{state: state})
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		// It ends when this host goes away, in whatever way: the next one is served.
		_ = channel.Serve(context.Background(), channel.ConnLink(conn), handler)
		conn.Close()
	}
}
