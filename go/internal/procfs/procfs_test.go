package procfs

import (
	"os"
	"testing"
)

const rest = " 4194560 1 0 0 0 12 3 0 0 20 0 1 0 500 1000000 25 18446744073709551615"

func TestParse(t *testing.T) {
	got, ok := parse(42, "42 (a) R (b) S 7 42 40 0 -1"+rest)
	want := Process{
		PID: 42, Parent: 7, Session: 40, Name: "a) R (b", State: "S", flags: 4194560,
		CPUMs: 150, StartedMs: 5000, ResidentBytes: 25 * uint64(os.Getpagesize()),
	}
	if !ok || got != want {
		t.Errorf("parse: %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S 1 2", "42 a) S"} {
		if _, ok := parse(42, bad); ok {
			t.Errorf("parse takes %q", bad)
		}
	}
}

func TestKindsOfProcesses(t *testing.T) {
	const kernels = " 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0 18446744073709551615"
	for text, want := range map[string][2]bool{
		"7 (sh) S 1 7 7 0 -1" + rest:                        {false, false},
		"7 (a) Z (b) R 1 7 7 0 -1" + rest:                   {false, false},
		"7 (gone) Z 1 7 7 0 -1" + rest:                      {false, true},
		"7 (gone) X 1 7 7 0 -1" + rest:                      {false, true},
		"2 (kthreadd) S 0 0 0 0 -1" + kernels:               {true, false},
		"9 (kworker/0:0 (x)) I 2 0 0 0 -1" + kernels:        {true, false},
		"9 (a) S 1 2 3 4 5 6 (kworker) R 1 7 7 0 -1" + rest: {false, false},
	} {
		process, ok := parse(7, text)
		if got := [2]bool{process.IsKernel(), process.IsDead()}; !ok || got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestThisProcessIsLiving(t *testing.T) {
	living, err := Living()
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range living {
		if process.PID == os.Getpid() {
			if process.Parent != os.Getppid() || process.ResidentBytes == 0 {
				t.Errorf("this process: %+v", process)
			}
			return
		}
	}
	t.Error("this process is not listed")
}
