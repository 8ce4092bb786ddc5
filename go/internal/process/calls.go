package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// calls are the processes whose callers wait for them. The zero value holds none.
type calls struct {
	mu      sync.Mutex
	running map[*Running]caller
}

// caller is who waits for a process, and what it said of its end.
type caller struct {
	ctx context.Context
	// stopSignal is 0 for a process that is not asked before others.
	stopSignal syscall.Signal
}

func (c *calls) add(running *Running, by caller) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[*Running]caller{}
	}
	c.running[running] = by
}

func (c *calls) remove(running *Running) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, running)
}

func (c *calls) abandoned() []*Running {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*Running
	for running, by := range c.running {
		if by.ctx.Err() != nil {
			found = append(found, running)
		}
	}
	return found
}

// askMain sends every process that has a stop signal that signal, and returns those processes.
func (c *calls) askMain() []*Running {
	c.mu.Lock()
	defer c.mu.Unlock()
	var asked []*Running
	for running, by := range c.running {
		if by.stopSignal != 0 && running.child.Signal(by.stopSignal) == nil {
			asked = append(asked, running)
		}
	}
	return asked
}

// StopMain sends processes that have a stop signal that signal, each to itself alone as container engines do, and returns when they
// have ended, or at the limit.
func (s *Service) StopMain(limit time.Duration) {
	late := time.After(limit)
	for _, running := range s.calls.askMain() {
		select {
		case <-running.Done():
		case <-late:
			return
		}
	}
}

// EndAbandoned kills what runs for callers that are gone, and returns when it is dead: also in a frozen guest, whose processes
// must not go on for a host that has never asked for them.
func (s *Service) EndAbandoned(limit time.Duration) error {
	deadline := time.Now().Add(limit)
	var failures []error
	for _, running := range s.calls.abandoned() {
		if !running.end(deadline) {
			failures = append(failures, fmt.Errorf("process %d of a session that is over did not end", running.PID()))
		}
	}
	return errors.Join(failures...)
}
