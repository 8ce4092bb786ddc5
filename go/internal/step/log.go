// Package step records how long each step of a longer work took and names the step that failed.
package step

import (
	"fmt"
	"sync"
	"time"
)

// Step is one finished step.
type Step struct {
	Name     string
	Duration time.Duration
}

// Log collects steps, which may run at the same time.
type Log struct {
	mu    sync.Mutex
	steps []Step
}

// Run runs one step. Its error begins with the step's name.
func (l *Log) Run(name string, work func() error) error {
	begin := time.Now()
	err := work()
	l.mu.Lock()
	l.steps = append(l.steps, Step{Name: name, Duration: time.Since(begin)})
	l.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Steps returns a copy of what has finished, in the order of finishing.
func (l *Log) Steps() []Step {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Step(nil), l.steps...)
}
