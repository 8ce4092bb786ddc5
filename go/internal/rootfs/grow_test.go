package rootfs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestFileSystemBytesAreReadAsMke2fsWritesThem(t *testing.T) {
	for _, features := range []string{"64bit", "^64bit"} {
		for _, size := range []int64{64 << 20, 8 << 30} {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			mkfs, err := exec.LookPath("mke2fs")
			if err != nil {
				mkfs = "/sbin/mke2fs"
			}
			if out, err := exec.Command(mkfs, "-q", "-F", "-t", "ext4", "-O", features, path).CombinedOutput(); err != nil {
				t.Fatalf("mke2fs: %v: %s", err, out)
			}
			disk, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer disk.Close()
			var superblock [1024]byte
			if _, err := disk.ReadAt(superblock[:], 1024); err != nil {
				t.Fatal(err)
			}
			if got := fileSystemBytes(superblock[:]); got != uint64(size) {
				t.Errorf("%s, %d bytes: got %d", features, size, got)
			}
		}
	}
}

func TestFileSystemBytesOfGarbageAreSomeNumber(t *testing.T) {
	var superblock [1024]byte
	for i := range superblock {
		superblock[i] = 0xff
	}
	_ = fileSystemBytes(superblock[:])
}

func TestAGuestWithoutDisksDoesNotGrow(t *testing.T) {
	if (*Root)(nil).Grow(context.Background(), 0, 0) == nil {
		t.Error("it grew")
	}
}
