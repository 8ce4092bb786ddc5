package rootfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// _IOW('f', 16, __u64) of the kernel's fs/ext4/ext4.h.
	ext4ResizeFS = 0x40086610
	// Less room than this at the end of a disk is none: mke2fs and the kernel leave it when it is too small for a group of blocks.
	growFromBytes = 16 << 20
	sectorBytes   = 512
	// The kernel hears of a new size by an interrupt.
	newSizePause = 2 * time.Millisecond
	// A start does not wait longer for a file system to grow: it is in use meanwhile. Terabytes take a while where the machine is emulated.
	growPatience = 5 * time.Second
)

// Grow makes the file systems as large as their disks, once those have at least the sizes given; 0 is any size.
func (r *Root) Grow(ctx context.Context, overlayBytes, workBytes uint64) error {
	if r == nil {
		return errors.New("there are no disks")
	}
	return errors.Join(growMounted(ctx, "overlay", r.overlay, overlayBytes), growMounted(ctx, "work", r.work, workBytes))
}

func growMounted(ctx context.Context, role string, directory *os.File, wantedBytes uint64) error {
	if directory == nil {
		return nil
	}
	err := func() error {
		var status unix.Stat_t
		if err := unix.Fstat(int(directory.Fd()), &status); err != nil {
			return err
		}
		deviceBytes, err := awaitSize(ctx, status.Dev, wantedBytes)
		if err != nil {
			return err
		}
		return resize(directory, deviceBytes)
	}()
	if err != nil {
		return fmt.Errorf("grow the %s disk: %w", role, err)
	}
	return nil
}

// awaitSize returns the size of a block device once it is at least what is wanted.
func awaitSize(ctx context.Context, device, wantedBytes uint64) (uint64, error) {
	path := fmt.Sprintf("/sys/dev/block/%d:%d/size", unix.Major(device), unix.Minor(device))
	for {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return 0, err
		}
		if bytes := sectors * sectorBytes; bytes >= wantedBytes {
			return bytes, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("it has %d sectors, not %d bytes: %w", sectors, wantedBytes, ctx.Err())
		case <-time.After(newSizePause):
		}
	}
}

// resize has the kernel grow a mounted ext4 file system; one that is that large already stays as it is.
func resize(directory *os.File, deviceBytes uint64) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(directory.Fd()), &fs); err != nil {
		return err
	}
	blocks := deviceBytes / uint64(fs.Bsize)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, directory.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks)))
	if errno != 0 {
		return errno
	}
	return nil
}

// growOnMount makes a file system that was just mounted as large as its disk. That is hardly ever needed, so a look at the superblock,
// which the mount has read already, has to do.
func growOnMount(device, mountPoint string) error {
	disk, err := os.Open(device)
	if err != nil {
		return err
	}
	defer disk.Close()
	deviceBytes, err := unix.Seek(int(disk.Fd()), 0, unix.SEEK_END)
	if err != nil {
		return err
	}
	var superblock [1024]byte
	if _, err := disk.ReadAt(superblock[:], 1024); err != nil {
		return err
	}
	if fileSystemBytes(superblock[:])+growFromBytes > uint64(deviceBytes) {
		return nil
	}
	directory, err := os.Open(mountPoint)
	if err != nil {
		return err
	}
	grown := make(chan error, 1)
	go func() {
		defer directory.Close()
		grown <- resize(directory, uint64(deviceBytes))
	}()
	select {
	case err := <-grown:
		return err
	case <-time.After(growPatience):
		return nil
	}
}

// fileSystemBytes reads the size of an ext4 file system from its superblock.
func fileSystemBytes(superblock []byte) uint64 {
	low := binary.LittleEndian.Uint32(superblock[0x4:])
	logBlock := binary.LittleEndian.Uint32(superblock[0x18:])
	incompatible := binary.LittleEndian.Uint32(superblock[0x60:])
	blocks := uint64(low)
	if has64bit := incompatible&0x80 != 0; has64bit {
		blocks |= uint64(binary.LittleEndian.Uint32(superblock[0x150:])) << 32
	}
	return blocks << (10 + min(logBlock, 6))
}
