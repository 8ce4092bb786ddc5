package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// calls are the processes whose callers wait for them. The zero value holds none.
type calls struct {
	mu      sync.Mutex
	running map[*Running]context.Context
}

func (c *calls) add(running *Running, ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running == nil {
		c.running = map[*Running]context.Context{}
	}
	c.running[running] = ctx
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
	for running, ctx := range c.running {
		if ctx.Err() != nil {
			found = append(found, running)
		}
	}
	return found
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
