package workspace

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"banger.dev/banger/internal/agenttest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
	"connectrpc.com/connect"
)

func newClient(t *testing.T) agentv1connect.WorkspaceServiceClient {
	t.Helper()
	path, handler := agentv1connect.NewWorkspaceServiceHandler(NewService(), agenttest.HandlerOption)
	return agentv1connect.NewWorkspaceServiceClient(agenttest.Serve(t, path, handler), agenttest.URL)
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func sh(t *testing.T, dir, script string) string {
	t.Helper()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t")
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", script, err, output)
	}
	return strings.TrimSpace(string(output))
}

// shipment makes a repository with the record of itself in it, as the host ships one, and returns its tar.
func shipment(t *testing.T, script string) []byte {
	t.Helper()
	dir := t.TempDir()
	sh(t, dir, `git init -q -b main; `+script+`
		git add -A; git commit -qm x; mkdir .git/banger; cp -p .git/index .git/banger/index
		{ echo "format $(git rev-parse --show-object-format)"; git for-each-ref --format="ref %(objectname) %(refname)"; } > .git/banger/state`)
	cmd := exec.Command("tar", "--format=gnu", "--sparse", "-c", ".")
	cmd.Dir = dir
	data, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func place(t *testing.T, client agentv1connect.WorkspaceServiceClient, path string, data []byte, force bool) *agentv1.PlaceResponse {
	t.Helper()
	stream := client.Place(deadline(t))
	open := &agentv1.PlaceOpen{Path: path, MetaPath: path + "/.git/banger", Force: force}
	_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Open{Open: open}})
	for piece := range slices.Chunk(data, 60_000) {
		_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Data{Data: piece}})
	}
	reply, err := stream.CloseAndReceive()
	if err != nil {
		t.Fatal(err)
	}
	return reply.Msg
}

func look(t *testing.T, client agentv1connect.WorkspaceServiceClient, path string) *agentv1.LookResponse {
	t.Helper()
	reply, err := client.Look(deadline(t), connect.NewRequest(&agentv1.LookRequest{Path: path, MetaPath: path + "/.git/banger"}))
	if err != nil {
		t.Fatal(err)
	}
	return reply.Msg
}

func paths(work *agentv1.GuestWork) string {
	return string(bytes.Join(work.GetPaths(), []byte(" ")))
}

const someFiles = `mkdir sub; echo one > a; echo two > sub/b; ln -s a link; printf '#!/bin/sh' > tool; chmod +x tool; : > "$(printf 'odd\nname')"; `

func TestLookTellsWhatTheGuestDid(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		client, workspace := newClient(t), filepath.Join(t.TempDir(), "repo")
		if found := look(t, client, workspace); found.GetExists() {
			t.Fatalf("nothing is there: %v", found)
		}
		data := shipment(t, fmt.Sprintf("rm -rf .git; git init -q -b main --object-format=%s; ", format)+someFiles)
		if reply := place(t, client, workspace, data, false); !reply.GetPlaced() {
			t.Fatalf("not placed: %v", reply)
		}
		found := look(t, client, workspace)
		if !found.GetKnown() || found.GetWork().GetCount() != 0 || len(found.GetWork().GetRefs()) != 0 || found.GetHead() != "refs/heads/main" {
			t.Fatalf("%s: untouched: %v", format, found)
		}
		if head := sh(t, workspace, "git rev-parse HEAD"); found.GetHeadCommit() != head {
			t.Fatalf("HEAD is %q, not %q", found.GetHeadCommit(), head)
		}
		// Another time alone is no work; neither are packed refs or new files.
		sh(t, workspace, `touch -d '2001-01-01' a; git pack-refs --all; echo new > new; printf 'one\r\n' > a`)
		if found := look(t, client, workspace); found.GetWork().GetCount() != 0 || len(found.GetWork().GetRefs()) != 0 {
			t.Fatalf("%s: nothing was changed: %v", format, found)
		}
		sh(t, workspace, `echo ONE > a; rm link; ln -s b link; chmod -x tool; rm -r sub; git branch side; echo 1 > x; git add x; git commit -qm y`)
		work := look(t, client, workspace).GetWork()
		if got := paths(work); got != "a link sub/b tool" {
			t.Fatalf("%s: changed: %q", format, got)
		}
		if !slices.Equal(work.GetRefs(), []string{"refs/heads/main", "refs/heads/side"}) {
			t.Fatalf("refs: %v", work.GetRefs())
		}
	}
}

func TestFilesAboveFourGibibytes(t *testing.T) {
	client, workspace := newClient(t), filepath.Join(t.TempDir(), "repo")
	// git keeps sizes modulo 2^32, and to hash so much takes half a minute: the file grows after the index was written.
	data := shipment(t, `printf x > big; touch -d 2001-01-01 big
		printf '#!/bin/sh\ntruncate -s 4294967297 big; touch -d 2001-01-01 big' > .git/hooks/post-commit; chmod +x .git/hooks/post-commit; `)
	if reply := place(t, client, workspace, data, false); !reply.GetPlaced() {
		t.Fatalf("not placed: %v", reply)
	}
	if found := sh(t, workspace, `stat -c %s big; [ $(stat -c %b big) -lt 1000 ] || stat -c %b big`); found != "4294967297" {
		t.Fatalf("size, and blocks when it has no holes any more: %s", found)
	}
	if found := look(t, client, workspace); found.GetWork().GetCount() != 0 {
		t.Fatalf("untouched: %v", found)
	}
}

func TestPlaceReplacesWhatWasShippedAndKeepsTheRest(t *testing.T) {
	client, parent := newClient(t), t.TempDir()
	workspace := filepath.Join(parent, "repo")
	place(t, client, workspace, shipment(t, someFiles+"mkdir only; echo x > only/here"), false)
	sh(t, workspace, `mkdir -p node_modules/deep sub/cache; echo m > node_modules/deep/m; echo c > sub/cache/c; echo k > only/kept; mkdir empty`)
	next := shipment(t, `mkdir sub; echo ONE > a; echo two > sub/b; echo n > new`)
	if reply := place(t, client, workspace, next, false); !reply.GetPlaced() {
		t.Fatalf("not placed: %v", reply)
	}
	const list = `find . -path ./.git -prune -o -print | LC_ALL=C sort | tr '\n' ' '; cat a`
	want := ". ./a ./empty ./new ./node_modules ./node_modules/deep ./node_modules/deep/m ./only ./only/kept ./sub ./sub/b ./sub/cache ./sub/cache/c ONE"
	if got := sh(t, workspace, list); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	// A file of the guest where one comes now, and one below what is no directory any more.
	sh(t, workspace, "echo mine > coming; mkdir turns; echo mine > turns/kept")
	next = shipment(t, `echo ONE > a; echo theirs > coming; echo t > turns`)
	reply := place(t, client, workspace, next, false)
	if reply.GetPlaced() || paths(reply.GetWork()) != "coming turns" {
		t.Fatalf("work would be lost: %v", reply)
	}
	if got := sh(t, workspace, "cat coming"); got != "mine" {
		t.Fatal("it was changed although it was refused")
	}
	if reply := place(t, client, workspace, next, true); !reply.GetPlaced() {
		t.Fatalf("not placed by force: %v", reply)
	}
	if got := sh(t, workspace, "cat coming turns; git status --porcelain"); got != "theirs\nt\n?? empty\n?? node_modules/\n?? only/\n?? sub/" && got != "theirs\nt\n?? node_modules/\n?? only/\n?? sub/" {
		t.Fatalf("after force: %s", got)
	}
	waitForOne(t, parent)
}

// waitForOne waits until nothing but the workspace is left.
func waitForOne(t *testing.T, parent string) {
	t.Helper()
	for ctx := deadline(t); ; {
		entries, err := os.ReadDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 1 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("left: %v", entries)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestPlaceThatIsCutChangesNothing(t *testing.T) {
	client, parent := newClient(t), t.TempDir()
	workspace := filepath.Join(parent, "repo")
	place(t, client, workspace, shipment(t, someFiles), false)
	data := shipment(t, `head -c 1000000 /dev/urandom > big`)
	ctx, cancel := context.WithCancel(deadline(t))
	stream := client.Place(ctx)
	open := &agentv1.PlaceOpen{Path: workspace, MetaPath: workspace + "/.git/banger"}
	_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Open{Open: open}})
	_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Data{Data: data[:60_000]}})
	cancel()
	if _, err := stream.CloseAndReceive(); err == nil {
		t.Fatal("a cancelled call succeeded")
	}
	waitForOne(t, parent)
	stream = client.Place(deadline(t))
	_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Open{Open: open}})
	_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Data{Data: data[:60_000]}})
	if _, err := stream.CloseAndReceive(); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Fatalf("half a tar: %v", err)
	}
	if got := sh(t, workspace, "cat a; git status --porcelain"); got != "one" {
		t.Fatalf("the workspace is %q", got)
	}
}

func TestUpdateChangesAllOrNothing(t *testing.T) {
	client := newClient(t)
	workspace := filepath.Join(t.TempDir(), "repo")
	place(t, client, workspace, shipment(t, someFiles), false)
	id := func(name string) []byte { return sum(20, strings.NewReader(name), int64(len(name))) }
	changes := []*agentv1.FileChange{
		{Path: []byte("a"), OldMode: modeFile, OldId: id("one\n"), NewMode: modeFile, NewId: id("1")},
		{Path: []byte("sub/b"), OldMode: modeFile, OldId: id("two\n"), NewId: make([]byte, 20)},
		{Path: []byte("x/y"), OldId: make([]byte, 20), NewMode: modeExecutable, NewId: id("xy")},
	}
	update := func(force bool) *agentv1.UpdateResponse {
		var archive bytes.Buffer
		writer := tar.NewWriter(&archive)
		for name, text := range map[string]string{"a": "1", "x/y": "xy"} {
			_ = writer.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: map[string]int64{"a": 0o644, "x/y": 0o755}[name]})
			_, _ = writer.Write([]byte(text))
		}
		_ = writer.Close()
		stream := client.Update(deadline(t))
		open := &agentv1.UpdateOpen{Path: workspace, MetaPath: workspace + "/.git/banger", Force: force}
		_ = stream.Send(&agentv1.UpdateRequest{Message: &agentv1.UpdateRequest_Open{Open: open}})
		_ = stream.Send(&agentv1.UpdateRequest{Message: &agentv1.UpdateRequest_Changes{Changes: &agentv1.FileChanges{Changes: changes}}})
		_ = stream.Send(&agentv1.UpdateRequest{Message: &agentv1.UpdateRequest_Data{Data: archive.Bytes()}})
		reply, err := stream.CloseAndReceive()
		if err != nil {
			t.Fatal(err)
		}
		return reply.Msg
	}
	sh(t, workspace, "echo mine > sub/b")
	if reply := update(false); reply.GetApplied() || !slices.Equal(reply.GetConflicts(), []uint32{1}) {
		t.Fatalf("a conflict: %v", reply)
	}
	if got := sh(t, workspace, "cat a sub/b; ls x 2>&1 || true"); !strings.HasPrefix(got, "one\nmine") {
		t.Fatalf("something was changed: %s", got)
	}
	if reply := update(true); !reply.GetApplied() {
		t.Fatalf("by force: %v", reply)
	}
	if got := sh(t, workspace, "cat a; ls sub 2>&1 || true; ./x/y 2>&1 || true; stat -c %a x/y"); !strings.HasPrefix(got, "1ls: cannot access 'sub'") || !strings.HasSuffix(got, "755") {
		t.Fatalf("after the update: %s", got)
	}
	// The record is up to date, also for git; what is there already is no conflict.
	if found := look(t, client, workspace); found.GetWork().GetCount() != 0 {
		t.Fatalf("%v", found)
	}
	if got := sh(t, workspace, "cp .git/banger/index t; GIT_INDEX_FILE=t git update-index -z --index-info < .git/banger/changes; GIT_INDEX_FILE=t git ls-files | tr '\\n' ' '"); got != `a link "odd\nname" tool x/y` {
		t.Fatalf("git reads the record as %s", got)
	}
	if reply := update(false); !reply.GetApplied() {
		t.Fatalf("again: %v", reply)
	}
}

func TestPlacesThatAreRefused(t *testing.T) {
	client := newClient(t)
	file := filepath.Join(t.TempDir(), "file")
	sh(t, "/", "echo x > "+file)
	for _, path := range []string{"/", "relative", "/proc", file} {
		stream := client.Place(deadline(t))
		_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Open{Open: &agentv1.PlaceOpen{Path: path, Force: true}}})
		var empty bytes.Buffer
		_ = tar.NewWriter(&empty).Close()
		_ = stream.Send(&agentv1.PlaceRequest{Message: &agentv1.PlaceRequest_Data{Data: empty.Bytes()}})
		if _, err := stream.CloseAndReceive(); err == nil {
			t.Errorf("%q was replaced", path)
		}
	}
}

func FuzzIndex(f *testing.F) {
	dir := f.TempDir()
	script := "git init -q; echo a > a; mkdir d; echo b > d/b; git add -A; cat .git/index"
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	seed, err := cmd.Output()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = parseIndex(data, 20)
		record := shipped{files: map[string]shippedFile{}}
		_ = record.apply(data)
	})
}
