package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"

	"banger.dev/banger/internal/channel"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/life"
)

// serve is the hosted way to run, for tests on a developer's machine: a guest that runs already, with nothing of PID 1's
// work. Hosts are served one after the other, as QEMU does it.
func serve(arguments []string) error {
	options := flag.NewFlagSet("serve", flag.ExitOnError)
	path := options.String("socket", "", "path of the unix socket to make")
	hostKey := options.String("host-key", "", "file with the PEM key of the SSH service")
	authorized := options.String("authorized-keys", "", "file with the keys that the SSH service accepts")
	_ = options.Parse(arguments)
	if *path == "" || options.NArg() > 0 {
		return errors.New("serve wants --socket PATH and no further argument")
	}
	state := guest.NewRunning(guest.Config{VMID: "hosted"})
	ssh := &sshService{state: state}
	if *hostKey != "" {
		if err := startHostedSSH(ssh, *hostKey, *authorized); err != nil {
			return err
		}
	}
	prepared := make(chan struct{})
	close(prepared)
	service := life.NewService(state, life.Hosted{}, version, prepared)
	service.Listening()
	return serveSocket(*path, newHandler(state, service, ssh))
}

func startHostedSSH(ssh *sshService, hostKey, authorized string) error {
	key, err := os.ReadFile(hostKey)
	if err != nil {
		return err
	}
	keys, err := os.ReadFile(authorized)
	if err != nil {
		return err
	}
	return ssh.start(key, strings.Split(strings.TrimSpace(string(keys)), "\n"))
}

func serveSocket(path string, handler http.Handler) error {
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
