package files

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const xattrPrefix = "SCHILY.xattr."

// isPortableXattr admits the user's attributes and file capabilities. Labels and ACLs belong to one machine.
func isPortableXattr(name string) bool {
	return strings.HasPrefix(name, "user.") || name == "security.capability"
}

// readXattrs returns the attributes of a file as PAX records, nil when it has none or the filesystem knows none.
func readXattrs(file *os.File) map[string]string {
	fd := int(file.Fd())
	var names [4096]byte
	length, err := unix.Flistxattr(fd, names[:])
	if err != nil || length == 0 {
		return nil
	}
	records := map[string]string{}
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:length]), "\x00"), "\x00") {
		if !isPortableXattr(name) {
			continue
		}
		value := make([]byte, 1<<16)
		if size, err := unix.Fgetxattr(fd, name, value); err == nil {
			records[xattrPrefix+name] = string(value[:size])
		}
	}
	if len(records) == 0 {
		return nil
	}
	return records
}

// writeXattrs sets the attributes that PAX records hold; a filesystem that takes none is no error.
func writeXattrs(fd int, records map[string]string) {
	for record, value := range records {
		if name, ok := strings.CutPrefix(record, xattrPrefix); ok && isPortableXattr(name) {
			_ = unix.Fsetxattr(fd, name, []byte(value), 0)
		}
	}
}
