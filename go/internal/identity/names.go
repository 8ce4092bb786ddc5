// Package identity makes a guest somebody: host name, machine id, name servers, clock and fresh randomness.
package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const maxHostnameBytes = 63

// CheckHostname refuses what is no plain host label.
func CheckHostname(name string) error {
	if name == "" || len(name) > maxHostnameBytes || name[0] == '-' {
		return fmt.Errorf("hostname %q is not usable", name)
	}
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Errorf("hostname %q is not usable", name)
		}
	}
	return nil
}

// SetHostname names the guest in the kernel, in /etc/hostname and in /etc/hosts below etc.
func SetHostname(etc, name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(etc, "hostname"), []byte(name+"\n"), 0o644); err != nil {
		return err
	}
	return setHosts(etc, name)
}

// ReserveNames makes the files that the names of a guest are written to, so that they only have to be written over: making files, and
// copying them up from the image, is most of the work of naming a guest. They name nobody.
func ReserveNames(etc, lib string) error {
	if err := writeFile(filepath.Join(etc, "hostname"), nil, 0o644); err != nil {
		return err
	}
	if err := setHosts(etc, ""); err != nil {
		return err
	}
	return SetMachineID(etc, lib, "")
}

func setHosts(etc, name string) error {
	hosts := filepath.Join(etc, "hosts")
	old, err := readFile(hosts)
	if err != nil {
		return err
	}
	return writeFile(hosts, []byte(PlanHosts(string(old), name)), 0o644)
}

const hostsMark = " # this guest"

// PlanHosts returns the text of /etc/hosts with a line for this guest, unless it has no name, and for localhost, and everything else as it was.
func PlanHosts(old, name string) string {
	var lines []string
	localhost := false
	for line := range strings.Lines(old) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasSuffix(line, hostsMark) {
			continue
		}
		text, _, _ := strings.Cut(line, "#")
		fields := strings.Fields(text)
		for i, field := range fields {
			localhost = localhost || i > 0 && field == "localhost" && fields[0] == "127.0.0.1"
		}
		lines = append(lines, line)
	}
	if !localhost {
		lines = append([]string{"127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"}, lines...)
	}
	if name != "" {
		lines = append(lines, "127.0.1.1\t"+name+hostsMark)
	}
	return strings.Join(lines, "\n") + "\n"
}

// SetMachineID writes /etc/machine-id, the same for the same VM at each boot and different for each VM. A copy that D-Bus keeps
// as a file of its own below lib (/var/lib) follows it.
func SetMachineID(etc, lib, vmID string) error {
	content := []byte(MachineID(vmID) + "\n")
	if err := writeFile(filepath.Join(etc, "machine-id"), content, 0o444); err != nil {
		return err
	}
	copied := filepath.Join(lib, "dbus/machine-id")
	if info, err := os.Lstat(copied); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return writeFile(copied, content, 0o444)
}

// MachineID derives 32 hex digits, formed as a random UUID, from the VM's id.
func MachineID(vmID string) string {
	sum := sha256.Sum256([]byte("banger machine-id " + vmID))
	id := sum[:16]
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return hex.EncodeToString(id)
}

// SetNameServers writes /etc/resolv.conf. The addresses must have been checked.
func SetNameServers(etc string, servers []string) error {
	var text strings.Builder
	for _, server := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	return writeFile(filepath.Join(etc, "resolv.conf"), []byte(text.String()), 0o644)
}

const maxFileBytes = 1 << 20

// readFile reads a small file of the image; what is no regular file counts as empty, because reading it could last for ever.
func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFileBytes)
	}
	return io.ReadAll(io.LimitReader(file, maxFileBytes))
}

// writeFile gives a file its content. A link in its place is replaced, because what it names may not exist in this
// guest, and a file that says the same already is left alone: a write would copy it up into the overlay.
func writeFile(path string, content []byte, mode os.FileMode) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().IsRegular() {
		if old, err := readFile(path); err == nil && bytes.Equal(old, content) {
			return nil
		}
	} else if err == nil {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// Not synced: a boot that was cut off writes it again. Not truncated first: freeing blocks to take new ones costs more
	// than all the rest.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW, mode)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	if info, err := file.Stat(); err != nil || info.Size() == int64(len(content)) {
		return err
	}
	return file.Truncate(int64(len(content)))
}
