package life

import (
	"fmt"
	"os"
	"time"

	"banger.dev/banger/internal/guest"
	"banger.dev/banger/internal/process"
	"banger.dev/banger/internal/realm"
	"golang.org/x/sys/unix"
)

const (
	// systemd takes commands once this socket is there.
	systemdSocket = "/run/systemd/private"
	systemdLimit  = 10 * time.Second
	// What is no init at all, because the path is another program's, ends by itself. An init has started something, or waits for
	// something for as long as this.
	settledAfter = 100 * time.Millisecond
	// One that only computes is taken for an init then.
	mistakeLimit = 3 * time.Second
	// SIGRTMIN+4 as systemd counts: it powers off.
	systemdPowerOff = unix.Signal(34 + 4)
	initKillLimit   = 2 * time.Second
)

// startInit starts the image's init and watches it: its end is the end of the machine.
func (vm *VM) startInit(path string) error {
	started, err := realm.Start(path)
	if err != nil {
		return err
	}
	if err := awaitInit(started); err != nil {
		return err
	}
	vm.init.Store(started)
	go func() {
		<-started.Done()
		vm.InitEnded()
	}()
	return nil
}

// awaitInit waits until systemd takes commands, because that is what users go on with. One that takes longer is left to itself;
// other inits say nothing of that kind: they are up when they have begun their work. How long a program takes until it ends is no sign: on a
// busy host it takes that to be loaded.
func awaitInit(started *realm.Realm) error {
	isUp, limit := hasSettled(started), time.After(mistakeLimit)
	if started.IsSystemd() {
		// Not by a connection: it would be of a process that systemd cannot see.
		isUp = func() bool { _, err := os.Stat(systemdSocket); return err == nil }
		limit = time.After(systemdLimit)
	}
	for pause := 5 * time.Millisecond; !isUp(); pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-started.Done():
			return fmt.Errorf("%s: it ended at once, %s", started.Path(), started.End())
		case <-limit:
			return nil
		case <-time.After(pause):
		}
	}
	return nil
}

// hasSettled gives a look at an init that says true once it has begun its work.
func hasSettled(started *realm.Realm) func() bool {
	var since time.Time
	return func() bool {
		switch {
		case started.Children():
			return true
		case !started.Waits():
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		}
		return !since.IsZero() && time.Since(since) >= settledAfter
	}
}

// stopInit has the init power off, which ends everything of the guest's users in their order. After the limit it is killed, and
// everything with it.
func (vm *VM) stopInit(limit time.Duration) {
	running := vm.init.Load()
	if running == nil {
		return
	}
	if running.IsSystemd() {
		_ = running.Signal(systemdPowerOff)
	} else {
		vm.runPowerOff()
	}
	select {
	case <-running.Done():
		return
	case <-time.After(limit):
	}
	fmt.Fprintf(os.Stderr, "banger-agent: %s did not power off within %s\n", running.Path(), limit)
	_ = running.Signal(unix.SIGKILL)
	select {
	case <-running.Done():
	case <-time.After(initKillLimit):
	}
}

// runPowerOff starts the image's own command: only that knows how its init is asked.
func (vm *VM) runPowerOff() {
	config := guest.Config{Environment: []string{"PATH=/sbin:/usr/sbin:/bin:/usr/bin"}}
	command, err := process.Start(config, process.Command{Argv: []string{"poweroff"}, Cwd: "/", User: "root"})
	if err != nil {
		fmt.Fprintf(os.Stderr, "banger-agent: poweroff: %v\n", err)
		return
	}
	go func() {
		defer command.Close()
		discard := func([]byte) error { return nil }
		command.Output(discard, discard)
	}()
}
