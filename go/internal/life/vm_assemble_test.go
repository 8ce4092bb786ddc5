package life

import (
	"testing"

	"banger.dev/banger/internal/rootfs"
	"banger.dev/banger/internal/step"
)

func TestARootIsNotConfiguredWithOtherDisksThanItWasAssembledOf(t *testing.T) {
	vm := &VM{assembled: rootfs.Serials{Base: "base", Overlay: "overlay", Work: "work"}}
	plan, err := ParsePlan(goodRequest())
	if err != nil {
		t.Fatal(err)
	}
	plan.Serials.Work = "other"
	log := &step.Log{}
	err = vm.enterRoot(plan, log)
	const want = "disks: the root was assembled of {base overlay work}, not of {base overlay other}"
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if steps := log.Steps(); len(steps) > 0 {
		t.Fatalf("something was done before: %v", steps)
	}
}
