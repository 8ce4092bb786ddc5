package rootfs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestAScratchFileIsWrittenOnlyWhereItWasPlaced(t *testing.T) {
	directory := t.TempDir()
	overlay, err := os.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	defer overlay.Close()
	root := &Root{overlay: overlay}
	root.RehearseWrite()
	if entries, err := os.ReadDir(directory); err != nil || len(entries) > 0 {
		t.Fatalf("a rehearsal made %v, %v", entries, err)
	}
	for range 2 {
		if err := root.PlaceScratch(); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(directory, scratchName)
	if err := os.WriteFile(path, []byte("xy"), 0o600); err != nil {
		t.Fatal(err)
	}
	// As Close does.
	root.scratch.Lock()
	root.RehearseWrite()
	if got, err := os.ReadFile(path); err != nil || string(got) != "xy" {
		t.Fatalf("it was written while the disks are closed: %q, %v", got, err)
	}
	root.scratch.Unlock()
	root.RehearseWrite()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, []byte("\x00y")) {
		t.Fatalf("it holds %q, %v", got, err)
	}
}
