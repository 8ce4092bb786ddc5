package bindings_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/bindings"
)

var (
	a     = netip.MustParseAddr("1.1.1.1")
	b     = netip.MustParseAddr("2.2.2.2")
	begin = time.Unix(1_000_000, 0)
)

func TestNamesAreGoodForATime(t *testing.T) {
	table := bindings.New(10)
	table.Bind("short", []netip.Addr{a, b}, time.Second, begin)
	table.Bind("long", []netip.Addr{a}, 365*24*time.Hour, begin)
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{{0, []string{"long", "short"}}, {5 * time.Minute, []string{"long", "short"}}, {5*time.Minute + 1, []string{"long"}}, {time.Hour, []string{"long"}}, {time.Hour + 1, nil}} {
		if got := table.Names(a, begin.Add(c.after)); !slices.Equal(got, c.want) {
			t.Errorf("after %s: %v, not %v", c.after, got, c.want)
		}
	}
	table.Bind("short", []netip.Addr{b}, time.Second, begin.Add(time.Minute))
	if got := table.Names(b, begin.Add(6*time.Minute)); len(got) != 1 {
		t.Errorf("a name that was asked for again: %v", got)
	}
	if got := table.Names(netip.MustParseAddr("3.3.3.3"), begin); len(got) != 0 {
		t.Errorf("an address that was never told: %v", got)
	}
}

func TestTableIsBounded(t *testing.T) {
	table := bindings.New(10)
	for i := range 1000 {
		table.Bind(fmt.Sprint("n", i), []netip.Addr{a}, time.Hour, begin)
	}
	if got := table.Names(a, begin); len(got) != 10 || !slices.Contains(got, "n999") || slices.Contains(got, "n989") {
		t.Errorf("names: %v", got)
	}
	next := netip.MustParseAddr("10.0.0.0")
	for range 1000 {
		next = next.Next()
		table.Bind("many", []netip.Addr{next}, time.Hour, begin)
	}
	known := 0
	for address := netip.MustParseAddr("10.0.0.0"); address != next; address = address.Next() {
		known += len(table.Names(address, begin))
	}
	if known > 128 || len(table.Names(next, begin)) != 1 {
		t.Errorf("%d addresses of one name", known)
	}
}
