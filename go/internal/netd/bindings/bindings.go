// Package bindings remembers which names a guest was told which addresses for, and for how long that is good: what rules for
// names go by, and what the log calls an address.
package bindings

import (
	"container/list"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// An answer is good for at least that long: programs look a name up once and connect some time later.
	floor = 5 * time.Minute
	// And for at most that long, whatever its owner says.
	ceiling = time.Hour
	// Answers rotate through addresses; of one name so many are remembered.
	maxAddresses = 128
)

// Table is what one guest was told. Safe for use by many.
type Table struct {
	mu        sync.Mutex
	maximum   int
	names     map[string]*entry
	order     *list.List // of *entry, the oldest first
	byAddress map[netip.Addr][]*entry
}

type entry struct {
	name      string
	place     *list.Element
	addresses map[netip.Addr]time.Time
}

// New remembers at most that many names.
func New(maximum int) *Table {
	return &Table{maximum: maximum, names: map[string]*entry{}, order: list.New(), byAddress: map[netip.Addr][]*entry{}}
}

// Bind notes that the guest was told these addresses for a name at a time.
func (t *Table) Bind(name string, addresses []netip.Addr, ttl time.Duration, now time.Time) {
	if len(addresses) == 0 {
		return
	}
	until := now.Add(min(max(ttl, floor), ceiling))
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.names[name]
	if e == nil {
		if len(t.names) >= t.maximum {
			t.remove(t.order.Front().Value.(*entry))
		}
		e = &entry{name: name, addresses: map[netip.Addr]time.Time{}}
		e.place = t.order.PushBack(e)
		t.names[name] = e
	}
	t.order.MoveToBack(e.place)
	for address, end := range e.addresses {
		if end.Before(now) {
			t.unlink(e, address)
		}
	}
	for _, address := range addresses {
		if _, known := e.addresses[address]; !known {
			if len(e.addresses) >= maxAddresses {
				t.unlink(e, soonest(e.addresses))
			}
			t.byAddress[address] = append(t.byAddress[address], e)
		}
		e.addresses[address] = until
	}
}

// Names returns the names that are good for an address, the one that was told last first.
func (t *Table) Names(address netip.Addr, now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := t.byAddress[address]
	good := make([]*entry, 0, len(entries))
	for _, e := range entries {
		if !e.addresses[address].Before(now) {
			good = append(good, e)
		}
	}
	slices.SortStableFunc(good, func(a, b *entry) int { return b.addresses[address].Compare(a.addresses[address]) })
	found := make([]string, len(good))
	for i, e := range good {
		found[i] = e.name
	}
	return found
}

// Size is how many names are remembered.
func (t *Table) Size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.names)
}

func (t *Table) remove(e *entry) {
	for address := range e.addresses {
		t.unlink(e, address)
	}
	t.order.Remove(e.place)
	delete(t.names, e.name)
}

func (t *Table) unlink(e *entry, address netip.Addr) {
	delete(e.addresses, address)
	rest := slices.DeleteFunc(t.byAddress[address], func(other *entry) bool { return other == e })
	if len(rest) == 0 {
		delete(t.byAddress, address)
		return
	}
	t.byAddress[address] = rest
}

func soonest(addresses map[netip.Addr]time.Time) netip.Addr {
	var found netip.Addr
	var end time.Time
	for address, until := range addresses {
		if !found.IsValid() || until.Before(end) {
			found, end = address, until
		}
	}
	return found
}
