package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"banger.dev/banger/internal/boot"
	"banger.dev/banger/internal/channel"
	"banger.dev/banger/internal/collector"
	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/identity"
	"banger.dev/banger/internal/life"
	"banger.dev/banger/internal/network"
	"banger.dev/banger/internal/reaper"
	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/virtio"
)

const portTimeout = 30 * time.Second

// runInit is the life of PID 1; it returns only when the guest cannot go on.
func runInit() error {
	collector.Hold()
	syscall.Umask(0o022)
	if err := boot.MountKernel(); err != nil {
		return err
	}
	state := guest.NewWaiting()
	mounted, prepared := make(chan struct{}), make(chan struct{})
	served, rehearsed := serveWhenOpen(state, mounted, prepared)
	modules, err := boot.ReadModules()
	if err != nil {
		return err
	}
	if err := boot.LoadModules(modules.Channel); err != nil {
		return err
	}
	if err := boot.HoldDevices(); err != nil {
		return err
	}
	go func() {
		defer close(prepared)
		err := prepare(modules.Device)
		close(mounted)
		if err != nil {
			state.Fail("prepare: " + err.Error())
		}
		<-rehearsed
	}()
	port, err := channel.OpenPort(channel.PortName, portTimeout)
	if err != nil {
		return err
	}
	reaper.Run()
	return fmt.Errorf("control channel: %w", served(port))
}

// serveWhenOpen makes the services ready on another processor while this one loads modules: both take a while where
// the machine is emulated. Then it rehearses, once cgroups are mounted. What it returns serves them.
func serveWhenOpen(state *guest.State, mounted, prepared <-chan struct{}) (serve func(*channel.Port) error, rehearsed <-chan struct{}) {
	type ready struct {
		service *life.Service
		handler http.Handler
	}
	made, over := make(chan ready, 1), make(chan struct{})
	go func() {
		defer close(over)
		ssh := &sshService{state: state}
		vm := &life.VM{StartSSH: ssh.start}
		service := life.NewService(state, vm, version, prepared)
		vm.InitEnded = service.StopNow
		handler := newHandler(state, service, ssh)
		made <- ready{service, handler}
		<-mounted
		rehearse(handler)
	}()
	return func(port *channel.Port) error {
		r := <-made
		go obeySignals(r.service)
		r.service.Listening()
		return channel.Serve(context.Background(), port, r.handler)
	}, over
}

// prepare does, while the host is awaited, what is the same for every guest.
func prepare(deviceModules []string) error {
	defer rootfs.EmptyInitramfs()
	return errors.Join(
		boot.LoadModules(deviceModules),
		boot.MountRuntime(),
		boot.KeepWholeProc("/.banger/proc"),
		identity.CoverBootID("/.banger"),
		boot.Limits(),
		network.Loopback(),
		bindDisks(),
	)
}

// obeySignals does what the guest's own poweroff, reboot and halt ask of an init. Other signals must be caught too:
// the end of PID 1 would be a kernel panic.
func obeySignals(service *life.Service) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGPWR, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGQUIT)
	for received := range signals {
		switch received {
		case syscall.SIGHUP, syscall.SIGQUIT:
		default:
			service.StopNow()
		}
	}
}

// bindDisks has the drivers take them.
func bindDisks() error {
	_, err := virtio.Disks()
	return err
}
