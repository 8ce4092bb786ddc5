// Package guest holds what is known about this guest: how far its life has got, and what the host configured.
// It decides nothing about devices or processes; the services read it and package life writes it.
package guest

import (
	"errors"
	"slices"
	"sync"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// Config is what the host said at Configure.
type Config struct {
	// VMID is the host's identity of this VM.
	VMID string
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

// Running ends a Configure that worked. A shutdown that began meanwhile stands.
func (s *State) Running() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == agentv1.Phase_PHASE_CONFIGURING {
		s.phase = agentv1.Phase_PHASE_RUNNING
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
	default:
		return "unknown"
	}
}
