package account

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	files := Files{Passwd: filepath.Join(dir, "passwd"), Group: filepath.Join(dir, "group")}
	write(t, files.Passwd, "root:x:0:0:root:/root:/bin/bash\n# note\nbroken:x\nbob:x:1000:1001::/home/bob:/bin/sh\n123:x:5:5::/odd:\nlow:x:-1:0::/:\n")
	write(t, files.Group, "root:x:0:\nbob:x:1001:\nwheel:x:10:alice,bob\ndocker:x:20:bob\nbroken:x:x:bob\n")
	bob := Account{Name: "bob", UID: 1000, GID: 1001, Groups: []uint32{10, 20}, Home: "/home/bob", Shell: "/bin/sh"}
	for spec, want := range map[string]Account{
		"":          {Name: "root", Home: "/root", Shell: "/bin/bash"},
		"bob":       bob,
		"1000":      bob,
		"bob:wheel": {Name: "bob", UID: 1000, GID: 10, Home: "/home/bob", Shell: "/bin/sh"},
		"bob:77":    {Name: "bob", UID: 1000, GID: 77, Home: "/home/bob", Shell: "/bin/sh"},
		"4242:99":   {UID: 4242, GID: 99, Home: "/"},
		"123":       {Name: "123", UID: 5, GID: 5, Home: "/odd"},
	} {
		got, err := files.Lookup(spec)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Lookup(%q) = %+v, %v; want %+v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"nobody", "bob:nogroup", "low", "4294967295", "-1"} {
		if got, err := files.Lookup(spec); !errors.Is(err, ErrUnknown) {
			t.Errorf("Lookup(%q) = %+v, %v; want ErrUnknown", spec, got, err)
		}
	}
}

func TestLookupWithoutDatabases(t *testing.T) {
	files := Files{Passwd: filepath.Join(t.TempDir(), "no"), Group: filepath.Join(t.TempDir(), "no")}
	for spec, want := range map[string]Account{
		"":       {Name: "root", Home: "/root"},
		"0":      {Name: "root", Home: "/root"},
		"7:root": {UID: 7, Home: "/"},
	} {
		if got, err := files.Lookup(spec); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("Lookup(%q) = %+v, %v; want %+v", spec, got, err, want)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
