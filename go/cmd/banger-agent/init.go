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
	prepared := make(chan struct{})
	served := serveWhenOpen(state, prepared)
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
		if err := prepare(modules.Device); err != nil {
			state.Fail("prepare: " + err.Error())
		}
	}()
	port, err := channel.OpenPort(channel.PortName, portTimeout)
	if err != nil {
		return err
	}
	reaper.Run()
	return fmt.Errorf("control channel: %w", served(port))
}

// serveWhenOpen makes the services ready on another processor while this one loads modules: both take a while where
// the machine is emulated. What it returns serves them.
func serveWhenOpen(state *guest.State, prepared <-chan struct{}) func(*channel.Port) error {
	type ready struct {
		service *life.Service
		handler http.Handler
	}
	made := make(chan ready, 1)
	go func() {
		ssh := &sshService{state: state}
		vm := &life.VM{StartSSH: ssh.start}
		service := life.NewService(state, vm, version, prepared)
		vm.InitEnded = service.StopNow
		made <- ready{service, newHandler(state, service, ssh)}
	}()
	return func(port *channel.Port) error {
		r := <-made
		go obeySignals(r.service)
		r.service.Listening()
		return channel.Serve(context.Background(), port, r.handler)
	}
}

// prepare does, while the host is awaited, what is the same for every guest.
func prepare(deviceModules []string) error {
	return errors.Join(
		boot.LoadModules(deviceModules),
		boot.MountRuntime(),
		identity.CoverBootID("/.banger"),
		boot.Limits(),
		network.Loopback(),
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
