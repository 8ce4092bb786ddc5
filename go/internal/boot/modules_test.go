package boot

import (
	"reflect"
	"testing"
)

func TestParseModules(t *testing.T) {
	got, err := ParseModules("# comment\nchannel /lib/a.ko\n\ndevice /lib/b.ko\nchannel /lib/c.ko\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Modules{Channel: []string{"/lib/a.ko", "/lib/c.ko"}, Device: []string{"/lib/b.ko"}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestParseModulesRefuses(t *testing.T) {
	for _, text := range []string{"channel", "channel lib/a.ko", "later /lib/a.ko", "/lib/a.ko"} {
		if modules, err := ParseModules(text); err == nil {
			t.Errorf("ParseModules(%q) = %+v, want an error", text, modules)
		}
	}
}
