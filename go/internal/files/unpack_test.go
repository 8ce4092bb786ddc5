package files

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A file of more than 4 GiB that is all hole but for its end, in both forms that tar has for it.
func TestUnpackKeepsHoles(t *testing.T) {
	for _, format := range []string{"gnu", "pax"} {
		dir := t.TempDir()
		archive := sh(t, fmt.Sprintf(`cd %q; truncate -s 4300M large; printf end >> large; tar --format=%s --sparse -c large`, dir, format), nil)
		into := filepath.Join(dir, "into")
		if _, err := Unpack(deadline(t), into, bytes.NewReader([]byte(archive))); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		info, err := os.Stat(filepath.Join(into, "large"))
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(4300<<20 + 3); info.Size() != want {
			t.Fatalf("%s: %d bytes, not %d", format, info.Size(), want)
		}
		if blocks := info.Sys().(*syscall.Stat_t).Blocks; blocks > 2048 {
			t.Fatalf("%s: it takes %d blocks", format, blocks)
		}
		if end := sh(t, fmt.Sprintf(`tail -c 5 %q/large | od -An -c`, into), nil); end != "  \\0  \\0   e   n   d\n" {
			t.Fatalf("%s: it ends with %q", format, end)
		}
	}
}

// The last bytes of a large file may be a hole, or zeroes that the archive has as such.
func TestUnpackOfFilesThatEndInZeroes(t *testing.T) {
	for _, flag := range []string{"--sparse", "--no-recursion"} {
		dir := t.TempDir()
		archive := sh(t, fmt.Sprintf(`cd %q; printf begin > large; truncate -s 3M large; tar --format=gnu %s -c large`, dir, flag), nil)
		into := filepath.Join(dir, "into")
		if _, err := Unpack(deadline(t), into, bytes.NewReader([]byte(archive))); err != nil {
			t.Fatalf("%s: %v", flag, err)
		}
		sh(t, fmt.Sprintf(`cmp %q/large %q/large`, dir, into), nil)
	}
}
