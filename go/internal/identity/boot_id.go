package identity

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	bootIDPath  = "/proc/sys/kernel/random/boot_id"
	uuidPattern = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
)

// CheckBootID refuses what is no UUID in lower case. Empty means none.
func CheckBootID(id string) error {
	if id == "" {
		return nil
	}
	wrong := len(id) != len(uuidPattern)
	for i := 0; !wrong && i < len(id); i++ {
		c := id[i]
		wrong = (uuidPattern[i] == '-') != (c == '-') || c != '-' && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f')
	}
	if wrong {
		return fmt.Errorf("boot id %q is no UUID in lower case", id)
	}
	return nil
}

// BootID is what the guest shows as its boot id.
func BootID() string {
	id, _ := os.ReadFile(bootIDPath)
	return strings.TrimSpace(string(id))
}

// shownBootID lies over the kernel's own file. It has no name that the guest could reach, and is written in place: whoever sees it, in
// whatever mount namespace, sees each later value too.
var shownBootID struct {
	mu   sync.Mutex
	file *os.File
}

// CoverBootID puts a file of the agent's over the kernel's boot id, which cannot be set. It shows the same until SetBootID.
// directory is made; it must be on a file system that stays, and out of the guest's reach: the file keeps its name there, because
// the kernel does not let what has none be mounted again, over the boot id of another /proc.
func CoverBootID(directory string) error {
	shownBootID.mu.Lock()
	defer shownBootID.mu.Unlock()
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	return coverBootID(directory)
}

func coverBootID(directory string) error {
	path := directory + "/.banger-boot-id"
	_ = os.Remove(path)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o444)
	if err != nil {
		return err
	}
	if _, err := file.WriteString(BootID() + "\n"); err != nil {
		file.Close()
		return err
	}
	if err := unix.Mount(path, bootIDPath, "", unix.MS_BIND, ""); err != nil {
		file.Close()
		return fmt.Errorf("cover %s: %w", bootIDPath, err)
	}
	if shownBootID.file != nil {
		shownBootID.file.Close()
	}
	shownBootID.file = file
	return nil
}

// SetBootID makes the guest show another boot id. Empty changes nothing.
func SetBootID(directory, id string) error {
	if id == "" {
		return nil
	}
	shownBootID.mu.Lock()
	defer shownBootID.mu.Unlock()
	if shownBootID.file == nil {
		return errors.New("the boot id is not covered")
	}
	if _, err := shownBootID.file.WriteAt([]byte(id+"\n"), 0); err != nil {
		return err
	}
	if BootID() == id {
		return nil
	}
	// A user of the guest has unmounted it.
	err := coverBootID(directory)
	_ = os.Remove(directory + "/.banger-boot-id")
	if err != nil {
		return err
	}
	if _, err := shownBootID.file.WriteAt([]byte(id+"\n"), 0); err != nil {
		return err
	}
	if shown := BootID(); shown != id {
		return fmt.Errorf("%s shows %q", bootIDPath, shown)
	}
	return nil
}

// RehearseBootID writes the boot id that is shown over itself: the way of SetBootID, as far as nobody else can see it.
func RehearseBootID() {
	shownBootID.mu.Lock()
	defer shownBootID.mu.Unlock()
	if shownBootID.file == nil {
		return
	}
	shown := make([]byte, len(uuidPattern)+1)
	if n, _ := shownBootID.file.ReadAt(shown, 0); n > 0 {
		_, _ = shownBootID.file.WriteAt(shown[:n], 0)
	}
}
