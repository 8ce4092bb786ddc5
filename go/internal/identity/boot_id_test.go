package identity

import (
	"os"
	"path/filepath"
	"testing"
)

func TestARehearsedBootIDStaysAsItIs(t *testing.T) {
	RehearseBootID() // Nothing is covered.
	path := filepath.Join(t.TempDir(), "id")
	const content = "12345678-90ab-4cde-8f01-23456789abcd\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	shownBootID.file = file
	defer func() { shownBootID.file = nil }()
	RehearseBootID()
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Fatalf("it is %q, %v", got, err)
	}
}
