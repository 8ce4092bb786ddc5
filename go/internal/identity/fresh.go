package identity

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetClock sets the wall clock.
func SetClock(unixNanos int64) error {
	now := unix.NsecToTimespec(unixNanos)
	return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
}

// CheckClock refuses times before 2020: a guest with such a clock trusts no certificate.
func CheckClock(unixNanos int64) error {
	if unixNanos < time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() {
		return fmt.Errorf("wall clock %d ns is not usable", unixNanos)
	}
	return nil
}

// generator is the kernel's generator of random numbers. It stays open from the first use on, which is before anything of the
// guest's users runs: they may put anything else in its place, for example a pipe, whose open waits for ever.
var generator = sync.OnceValues(func() (int, error) {
	return unix.Open("/dev/urandom", unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
})

// AddEntropy mixes the bytes into the kernel's pool, credits them, and makes the generator use them at once. Guests
// restored from one snapshot would draw the same numbers without it.
func AddEntropy(entropy []byte) error {
	fd, err := generator()
	if err != nil {
		return err
	}
	// struct rand_pool_info: bits to credit, size of the buffer, the buffer.
	request := binary.NativeEndian.AppendUint32(nil, uint32(len(entropy)*8))
	request = binary.NativeEndian.AppendUint32(request, uint32(len(entropy)))
	request = append(request, entropy...)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&request[0])))
	if errno != 0 {
		return fmt.Errorf("RNDADDENTROPY: %w", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.RNDRESEEDCRNG, 0); errno != 0 {
		return fmt.Errorf("RNDRESEEDCRNG: %w", errno)
	}
	return nil
}
