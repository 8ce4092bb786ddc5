// Package guest holds what is known about this guest: how far its life has got, and what the host configured.
// It decides nothing about devices or processes; the services read it and package life writes it.
package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// Config is what the host said at Configure.
type Config struct {
	// VMID is the host's identity of this VM.
	VMID string
	// BootID is the UUID that the guest shows as its boot's. Empty: as the kernel has it.
	BootID string
	// Hostname without a domain.
	Hostname string
	// Environment of every process, NAME=value.
	Environment []string
	// DefaultUser is a name or uid, with ":group" behind it at will. Empty: root.
	DefaultUser string
	// DefaultWorkdir is an absolute directory. Empty: the user's home.
	DefaultWorkdir string
}

func (c Config) clone() Config {
	c.Environment = slices.Clone(c.Environment)
	return c
}

// State is the guest's phase and configuration, safe for use by many goroutines.
type State struct {
	mu      sync.Mutex
	phase   agentv1.Phase
	failure string
	config  Config
	// thawed is closed when a guest that is frozen is not any more; nil in every other phase.
	thawed chan struct{}
	// starting is held for reading while a process is being started: a freeze begins between two starts.
	starting sync.RWMutex
}

// NewWaiting returns the state of a guest that nothing personal is known about.
func NewWaiting() *State {
	return &State{phase: agentv1.Phase_PHASE_WAITING}
}

// NewRunning returns the state of a guest that is configured and runs already (tests and hosted mode).
func NewRunning(config Config) *State {
	return &State{phase: agentv1.Phase_PHASE_RUNNING, config: config.clone()}
}

// Phase says how far the guest has got.
func (s *State) Phase() agentv1.Phase {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase
}

// Failure is the reason of phase FAILED, else empty.
func (s *State) Failure() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failure
}

// Config returns a copy of the configuration; it is empty before Configure.
func (s *State) Config() Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config.clone()
}

// BeginConfigure takes the one right to configure this boot. It fails outside phase WAITING.
func (s *State) BeginConfigure(config Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != agentv1.Phase_PHASE_WAITING {
		return errors.New("guest is in phase " + PhaseName(s.phase) + ", not waiting")
	}
	s.phase = agentv1.Phase_PHASE_CONFIGURING
	s.config = config.clone()
	return nil
}

// Assembled ends an Assemble that worked: the guest waits to be configured as before. A shutdown that began meanwhile stands.
func (s *State) Assembled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == agentv1.Phase_PHASE_CONFIGURING {
		s.phase = agentv1.Phase_PHASE_WAITING
	}
}

// Running ends a Configure that worked. A shutdown that began meanwhile stands.
func (s *State) Running() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == agentv1.Phase_PHASE_CONFIGURING {
		s.phase = agentv1.Phase_PHASE_RUNNING
	}
}

// BeginFreeze takes a running guest to phase FROZEN, once every start of a process under way is over. It gives up after the limit:
// a start may hang, and must not take others with it, which it would if it was waited for with Lock.
func (s *State) BeginFreeze(limit time.Duration) error {
	for deadline := time.Now().Add(limit); !s.starting.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("processes are still being started after %s", limit)
		}
	}
	defer s.starting.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case agentv1.Phase_PHASE_FROZEN:
		return nil
	case agentv1.Phase_PHASE_RUNNING:
		s.phase = agentv1.Phase_PHASE_FROZEN
		s.thawed = make(chan struct{})
		return nil
	}
	return errors.New("guest is in phase " + PhaseName(s.phase) + ", not running")
}

// CheckFrozen fails outside phase FROZEN.
func (s *State) CheckFrozen() error {
	if phase := s.Phase(); phase != agentv1.Phase_PHASE_FROZEN {
		return errors.New("guest is in phase " + PhaseName(phase) + ", not frozen")
	}
	return nil
}

// Thawed ends phase FROZEN. A shutdown that began meanwhile stands.
func (s *State) Thawed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == agentv1.Phase_PHASE_FROZEN {
		s.phase = agentv1.Phase_PHASE_RUNNING
		s.leaveFrozen()
	}
}

func (s *State) leaveFrozen() {
	if s.thawed != nil {
		close(s.thawed)
		s.thawed = nil
	}
}

// Become makes the guest another machine, as far as what is known here goes.
func (s *State) Become(vmID, hostname, bootID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config.VMID, s.config.Hostname, s.config.BootID = vmID, hostname, bootID
}

// AwaitThaw returns at once unless the guest is frozen; then when it is not any more, or with the error of ctx.
func (s *State) AwaitThaw(ctx context.Context) error {
	for {
		s.mu.Lock()
		thawed := s.thawed
		s.mu.Unlock()
		if thawed == nil {
			return ctx.Err()
		}
		select {
		case <-thawed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Starting is called before the start of a process, and what it returns after it. In a frozen guest it waits for the thaw, or fails
// with the error of ctx: a process that was started then would stop before its program runs, and its starter with it.
func (s *State) Starting(ctx context.Context) (started func(), err error) {
	for {
		if err := s.AwaitThaw(ctx); err != nil {
			return nil, err
		}
		s.starting.RLock()
		if s.Phase() != agentv1.Phase_PHASE_FROZEN {
			return s.starting.RUnlock, nil
		}
		s.starting.RUnlock()
	}
}

// Fail says that this guest will never run, with the reason that Hello shows.
func (s *State) Fail(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.phase {
	case agentv1.Phase_PHASE_WAITING, agentv1.Phase_PHASE_CONFIGURING:
		s.phase = agentv1.Phase_PHASE_FAILED
		s.failure = reason
	}
}

// BeginStop enters phase STOPPING and reports whether this call was the first.
func (s *State) BeginStop() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == agentv1.Phase_PHASE_STOPPING {
		return false
	}
	s.phase = agentv1.Phase_PHASE_STOPPING
	s.leaveFrozen()
	return true
}

// PhaseName is the lower-case word for a phase, for messages.
func PhaseName(phase agentv1.Phase) string {
	switch phase {
	case agentv1.Phase_PHASE_WAITING:
		return "waiting"
	case agentv1.Phase_PHASE_CONFIGURING:
		return "configuring"
	case agentv1.Phase_PHASE_RUNNING:
		return "running"
	case agentv1.Phase_PHASE_FAILED:
		return "failed"
	case agentv1.Phase_PHASE_STOPPING:
		return "stopping"
	case agentv1.Phase_PHASE_FROZEN:
		return "frozen"
	default:
		return "unknown"
	}
}
