// Package collector decides when the agent's garbage is collected: never in the moments that users wait for.
package collector

import (
	"runtime/debug"
	"sync"
	"time"
)

const (
	percent = 400
	// Guests are small: at this size it is collected at any time.
	memoryLimitBytes = 64 << 20
	releaseDelay     = 3 * time.Second
)

var (
	mu       sync.Mutex
	releaser *time.Timer
)

// Hold stops collections. A guest that is to be restored holds them, because for the runtime the time since its capture has passed
// at once, and it would begin with one that is overdue.
func Hold() {
	mu.Lock()
	defer mu.Unlock()
	if releaser != nil {
		releaser.Stop()
		releaser = nil
	}
	debug.SetMemoryLimit(memoryLimitBytes)
	debug.SetGCPercent(-1)
}

// Release allows collections again, a while after the call.
func Release() {
	mu.Lock()
	defer mu.Unlock()
	if releaser == nil {
		releaser = time.AfterFunc(releaseDelay, func() { debug.SetGCPercent(percent) })
	}
}
