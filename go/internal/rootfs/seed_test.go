package rootfs

import (
	"os"
	"path/filepath"
	"testing"
)

// image makes a directory as an image has it at /root.
func image(t *testing.T) string {
	t.Helper()
	source := filepath.Join(t.TempDir(), "root")
	for _, step := range []error{
		os.MkdirAll(filepath.Join(source, ".config/tool"), 0o755),
		os.WriteFile(filepath.Join(source, ".bashrc"), []byte("alias ll='ls -l'\n"), 0o600),
		os.WriteFile(filepath.Join(source, ".config/tool/run"), []byte("#!/bin/sh\n"), 0o755),
		os.Symlink("/nowhere", filepath.Join(source, "link")),
		os.Chmod(source, 0o700),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	return source
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestSeedCopiesOnceIntoAFreshVolume(t *testing.T) {
	source, volume := image(t), t.TempDir()
	if err := os.Mkdir(filepath.Join(volume, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := seed(source, volume); err != nil {
		t.Fatal(err)
	}
	if got := read(t, volume+"/.config/tool/run"); got != "#!/bin/sh\n" {
		t.Errorf("run holds %q", got)
	}
	if link, err := os.Readlink(volume + "/link"); err != nil || link != "/nowhere" {
		t.Errorf("link: %q, %v", link, err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, ".bashrc": 0o600, ".config/tool/run": 0o755} {
		if info, err := os.Stat(filepath.Join(volume, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: mode %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := os.Stat(volume + "/lost+found"); err == nil {
		t.Error("lost+found is in sight")
	}
	// The user took the file away: it stays away.
	if err := os.Remove(volume + "/.bashrc"); err != nil {
		t.Fatal(err)
	}
	if err := seed(source, volume); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(volume + "/.bashrc"); err == nil {
		t.Error("a second boot copied again")
	}
}

func TestSeedGoesOnAfterACutOffCopy(t *testing.T) {
	source, volume := image(t), t.TempDir()
	if err := setMark(volume, seedBegun); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(volume+"/.bashrc", []byte("ali"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := seed(source, volume); err != nil {
		t.Fatal(err)
	}
	if got := read(t, volume+"/.bashrc"); got != "alias ll='ls -l'\n" {
		t.Errorf(".bashrc holds %q", got)
	}
}

func TestSeedLeavesAFilledVolumeAlone(t *testing.T) {
	source, volume := image(t), t.TempDir()
	if err := os.WriteFile(volume+"/.bashrc", []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := seed(source, volume); err != nil {
		t.Fatal(err)
	}
	if got := read(t, volume+"/.bashrc"); got != "mine\n" {
		t.Errorf(".bashrc holds %q", got)
	}
	if _, err := os.Lstat(volume + "/link"); err == nil {
		t.Error("the image's files were mixed in")
	}
}
