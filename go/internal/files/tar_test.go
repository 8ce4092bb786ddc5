package files

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sys/unix"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// sh runs a script with real tools and returns what it printed.
func sh(t *testing.T, script string, input []byte) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, output)
	}
	return string(output)
}

// makeTree makes one of everything that a tar can hold.
func makeTree(t *testing.T, dir string) {
	t.Helper()
	sh(t, fmt.Sprintf(`cd %q; mkdir tree; cd tree; mkdir -p sub/deep empty; echo hello > sub/file; ln sub/file hard; ln -s sub/file soft; ln -s /etc/passwd absolute
		ln -s nowhere dangling; mkfifo pipe; head -c 1000000 /dev/urandom > sub/deep/big; touch "$(printf 'odd\nname')"; : > $(printf 'n%%.0s' $(seq 200))
		chmod 4755 sub/file; chmod 1777 empty; chmod 0500 sub/deep; touch -d '2001-02-03 04:05:06.789' sub/file sub`, dir), nil)
	if os.Geteuid() == 0 {
		sh(t, fmt.Sprintf(`cd %q/tree; mknod device c 1 3; chown -h 12:34 sub/deep/big soft device`, dir), nil)
	}
}

// describeTree lists type, mode, owner, links, size, time, target and content hash of all below a directory.
func describeTree(t *testing.T, dir string) string {
	t.Helper()
	return sh(t, fmt.Sprintf(`cd %q; find . -mindepth 1 \( -type d -printf '%%P %%y %%m %%U:%%G %%T@\n' -o -type f -printf '%%P %%y %%m %%U:%%G %%n %%s %%T@\n' -o -printf '%%P %%y %%m %%U:%%G %%T@ %%l\n' \) | LC_ALL=C sort
		find . -type f | LC_ALL=C sort | tr '\n' '\0' | xargs -0 -n1 sha256sum 2>/dev/null || :`, dir), nil)
}

func TestTarRoundTrip(t *testing.T) {
	client, from, to := newClient(t), t.TempDir(), t.TempDir()
	makeTree(t, from)
	archive, err := readTar(t, client, from+"/tree")
	if err != nil {
		t.Fatal(err)
	}
	response, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: to + "/made/here", KeepOwners: true}, archive)
	if err != nil {
		t.Fatal(err)
	}
	if want, got := describeTree(t, from), describeTree(t, to+"/made/here"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if response.Entries < 12 || response.WrittenBytes != 1000006 {
		t.Errorf("response %v", response)
	}
	// Once more over what is there, with owners forced.
	if os.Geteuid() == 0 {
		if _, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: to + "/made/here", Uid: 77, Gid: 88}, archive); err != nil {
			t.Fatal(err)
		}
		owners := sh(t, fmt.Sprintf(`find %q -mindepth 1 -printf '%%U:%%G\n' | sort -u; stat -c %%a %q`, to+"/made/here", to+"/made/here/tree/sub/file"), nil)
		if owners != "77:88\n4755\n" {
			t.Errorf("owners and mode %q", owners)
		}
	}
}

func TestTarAgreesWithRealTar(t *testing.T) {
	client, from, to := newClient(t), t.TempDir(), t.TempDir()
	makeTree(t, from)
	archive, err := readTar(t, client, from+"/tree")
	if err != nil {
		t.Fatal(err)
	}
	sh(t, fmt.Sprintf("tar -xp --numeric-owner -C %q -f -", to), archive)
	if want, got := describeTree(t, from), describeTree(t, to); got != want {
		t.Errorf("tar(1) unpacked\n%s\nwant\n%s", got, want)
	}
	for _, format := range []string{"gnu", "pax", "ustar --exclude=*n"} {
		back := filepath.Join(t.TempDir(), "back")
		theirs := sh(t, fmt.Sprintf("tar -c --format=%s --numeric-owner -C %q ./tree", format, from), nil)
		if _, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: back, KeepOwners: true}, []byte(theirs)); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if format == "pax" {
			if want, got := describeTree(t, from), describeTree(t, back); got != want {
				t.Errorf("we unpacked\n%s\nwant\n%s", got, want)
			}
		}
	}
}

func TestTarOfOneFileAndOfALink(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	put(t, filepath.Join(dir, "file"), "text", 0o644)
	sh(t, fmt.Sprintf("cd %q; mkdir real; echo x > real/inside; ln -s real link", dir), nil)
	for path, want := range map[string]string{"file": "file\n", "link": "link\n", "link/": "link/\nlink/inside\n"} {
		archive, err := readTar(t, client, dir+"/"+path)
		if err != nil {
			t.Fatal(err)
		}
		if got := sh(t, "tar -t", archive); got != want {
			t.Errorf("%s: entries %q, want %q", path, got, want)
		}
	}
}

func TestTarKeepsFileCapabilitiesAndUserAttributes(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	path := filepath.Join(dir, "file")
	put(t, path, "text", 0o755)
	if err := unix.Setxattr(path, "user.note", []byte("a\x00b"), 0); err != nil {
		t.Fatal(err)
	}
	archive, err := readTar(t, client, path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: dir + "/to"}, archive); err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 16)
	size, err := unix.Getxattr(dir+"/to/file", "user.note", value)
	if err != nil || string(value[:size]) != "a\x00b" {
		t.Errorf("attribute %q, %v", value[:max(size, 0)], err)
	}
}

func TestHostileArchives(t *testing.T) {
	client := newClient(t)
	file := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 4, Mode: 0o644}
	}
	symlink := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	for name, headers := range map[string][]tar.Header{
		"parent":                   {file("../escaped")},
		"hidden parent":            {file("a/../../escaped")},
		"parent as directory":      {{Typeflag: tar.TypeDir, Name: "..", Mode: 0o777}},
		"through a link":           {symlink("out", ".."), file("out/escaped")},
		"through an absolute link": {symlink("out", "@outside"), file("out/escaped")},
		"through two links":        {symlink("a", "."), symlink("a/out", "../"), file("out/escaped")},
		"directory through a link": {symlink("out", "@outside"), {Typeflag: tar.TypeDir, Name: "out/escaped", Mode: 0o755}},
		"link behind a link":       {symlink("out", "@outside"), symlink("out/escaped", "x")},
		"hard link to outside":     {{Typeflag: tar.TypeLink, Name: "stolen", Linkname: "../secret"}},
		"hard link through a link": {symlink("out", "@outside"), {Typeflag: tar.TypeLink, Name: "stolen", Linkname: "out/secret"}},
		"hard link to itself":      {file("self"), {Typeflag: tar.TypeLink, Name: "self", Linkname: "self"}},
		"file over a directory":    {{Typeflag: tar.TypeDir, Name: "d/e", Mode: 0o755}, file("d")},
		"unknown type":             {{Typeflag: 'Z', Name: "odd"}},
	} {
		t.Run(name, func(t *testing.T) {
			outside := t.TempDir()
			put(t, filepath.Join(outside, "secret"), "keep", 0o600)
			into := filepath.Join(outside, "into")
			_, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: into}, pack(t, outside, headers))
			if code := connect.CodeOf(err); err == nil || (code != connect.CodeInvalidArgument && code != connect.CodeFailedPrecondition) {
				t.Errorf("unpacking said %v", err)
			}
			expectNames(t, outside, "into", "secret")
			if info, _ := os.Stat(outside + "/secret"); info.Sys().(*syscall.Stat_t).Nlink != 1 {
				t.Error("the secret has a second name")
			}
		})
	}
}

func TestLinksAreReplacedNotFollowed(t *testing.T) {
	client, outside := newClient(t), t.TempDir()
	put(t, filepath.Join(outside, "secret"), "keep", 0o600)
	headers := []tar.Header{
		{Typeflag: tar.TypeSymlink, Name: "file", Linkname: "@outside/secret"},
		{Typeflag: tar.TypeReg, Name: "file", Size: 4, Mode: 0o4777},
		{Typeflag: tar.TypeSymlink, Name: "linked", Linkname: "@outside/secret"},
		{Typeflag: tar.TypeLink, Name: "again", Linkname: "linked"},
		{Typeflag: tar.TypeReg, Name: "again", Size: 4, Mode: 0o4777},
		{Typeflag: tar.TypeSymlink, Name: "directory", Linkname: "@outside"},
		{Typeflag: tar.TypeDir, Name: "directory", Mode: 0o777},
		{Typeflag: tar.TypeReg, Name: "/directory/escaped", Size: 4, Mode: 0o644},
		{Typeflag: tar.TypeReg, Name: "/absolute", Size: 4, Mode: 0o644},
	}
	if _, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: outside + "/into"}, pack(t, outside, headers)); err != nil {
		t.Fatal(err)
	}
	expectNames(t, outside, "into", "secret")
	expectNames(t, outside+"/into", "absolute", "again", "directory", "file", "linked")
	expectNames(t, outside+"/into/directory", "escaped")
	if info, _ := os.Stat(outside + "/secret"); info.Mode() != 0o600 || info.Size() != 4 {
		t.Errorf("the secret became %v, %d bytes", info.Mode(), info.Size())
	}
}

func TestInnerDirectoryLinkIsKept(t *testing.T) {
	client, into := newClient(t), t.TempDir()
	sh(t, fmt.Sprintf("cd %q; mkdir -p usr/bin; ln -s usr/bin bin", into), nil)
	headers := []tar.Header{{Typeflag: tar.TypeDir, Name: "bin", Mode: 0o755}, {Typeflag: tar.TypeReg, Name: "bin/tool", Size: 4, Mode: 0o755}}
	if _, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: into}, pack(t, into, headers)); err != nil {
		t.Fatal(err)
	}
	expectNames(t, into+"/usr/bin", "tool")
}

func TestDamagedArchive(t *testing.T) {
	client := newClient(t)
	whole := pack(t, "", []tar.Header{{Typeflag: tar.TypeReg, Name: "file", Size: 4, Mode: 0o644}})
	for name, archive := range map[string][]byte{"cut": whole[:514], "garbage": []byte(strings.Repeat("garbage!", 200))} {
		_, err := writeTar(t, client, &agentv1.WriteTarOpen{Directory: t.TempDir()}, archive)
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s archive: %v", name, err)
		}
	}
}

// pack makes an archive with content "data" in every file; @outside stands for a directory.
func pack(t *testing.T, outside string, headers []tar.Header) []byte {
	t.Helper()
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, header := range headers {
		header.Linkname = strings.ReplaceAll(header.Linkname, "@outside", outside)
		header.ModTime = time.Unix(1, 0)
		if err := writer.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			_, _ = writer.Write([]byte("data"))
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}
