package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"banger.dev/banger/internal/agenttest"
	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
)

func newClient(t *testing.T) agentv1connect.FileServiceClient {
	t.Helper()
	path, handler := agentv1connect.NewFileServiceHandler(NewService(), agenttest.HandlerOption)
	return agentv1connect.NewFileServiceClient(agenttest.Serve(t, path, handler), agenttest.URL)
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, client agentv1connect.FileServiceClient, open *agentv1.WriteOpen, data []byte) (uint64, error) {
	t.Helper()
	stream := client.Write(deadline(t))
	_ = stream.Send(&agentv1.WriteRequest{Message: &agentv1.WriteRequest_Open{Open: open}})
	for rest := data; len(rest) > 0; {
		count := min(len(rest), 60_000)
		if err := stream.Send(&agentv1.WriteRequest{Message: &agentv1.WriteRequest_Data{Data: rest[:count]}}); err != nil {
			break
		}
		rest = rest[count:]
	}
	response, err := stream.CloseAndReceive()
	if err != nil {
		return 0, err
	}
	return response.Msg.GetWrittenBytes(), nil
}

func TestWriteThenRead(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	data := make([]byte, 3<<20+77)
	_, _ = rand.Read(data)
	path := filepath.Join(dir, "file")
	written, err := write(t, client, &agentv1.WriteOpen{Path: path, Mode: 0o4751}, data)
	if err != nil || written != uint64(len(data)) {
		t.Fatalf("wrote %d, %v", written, err)
	}
	status, err := os.Stat(path)
	if err != nil || status.Mode() != 0o751|os.ModeSetuid {
		t.Errorf("mode %v, %v", status.Mode(), err)
	}
	stream, err := client.Read(deadline(t), connect.NewRequest(&agentv1.ReadRequest{Path: path}))
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for stream.Receive() {
		if len(stream.Msg().Data) > chunkBytes {
			t.Errorf("a chunk of %d bytes", len(stream.Msg().Data))
		}
		got = append(got, stream.Msg().Data...)
	}
	if err := stream.Err(); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes back, %v", len(got), err)
	}
	expectNames(t, dir, "file")
}

func TestWriteReplacesBehindALinkAndKeepsTheMode(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	put(t, filepath.Join(dir, "real"), "old", 0o640)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t, client, &agentv1.WriteOpen{Path: link}, []byte("new")); err != nil {
		t.Fatal(err)
	}
	status, err := os.Lstat(filepath.Join(dir, "real"))
	content, _ := os.ReadFile(filepath.Join(dir, "real"))
	if err != nil || status.Mode() != 0o640 || string(content) != "new" {
		t.Errorf("mode %v, content %q, %v", status.Mode(), content, err)
	}
	expectNames(t, dir, "link", "real")
}

func TestAbortedWriteLeavesNothing(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	path := filepath.Join(dir, "file")
	put(t, path, "old", 0o644)
	ctx, cancel := context.WithCancel(deadline(t))
	stream := client.Write(ctx)
	_ = stream.Send(&agentv1.WriteRequest{Message: &agentv1.WriteRequest_Open{Open: &agentv1.WriteOpen{Path: path}}})
	_ = stream.Send(&agentv1.WriteRequest{Message: &agentv1.WriteRequest_Data{Data: []byte("half")}})
	awaitEntries(t, dir, 2)
	cancel()
	connection, err := stream.Conn()
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.CloseResponse() // resets the stream
	awaitEntries(t, dir, 1)
	if content, _ := os.ReadFile(path); string(content) != "old" {
		t.Errorf("content %q", content)
	}
}

func awaitEntries(t *testing.T, dir string, count int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		entries, err := os.ReadDir(dir)
		if err == nil && len(entries) == count {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited for %d entries, have %v, %v", count, entries, err)
		}
	}
}

func TestStatAndList(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	put(t, filepath.Join(dir, "b"), "12345", 0o755|os.ModeSetgid)
	put(t, filepath.Join(dir, "a\xff"), "", 0o600)
	if err := os.Symlink("b", filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	response, err := client.List(deadline(t), connect.NewRequest(&agentv1.ListRequest{Path: dir}))
	if err != nil || len(response.Msg.Entries) != 3 || response.Msg.Truncated {
		t.Fatalf("%v, %v", response, err)
	}
	a, b, c := response.Msg.Entries[0], response.Msg.Entries[1], response.Msg.Entries[2]
	if string(a.Name) != "a\xff" || b.SizeBytes != 5 || b.Mode != syscall.S_IFREG|0o2755 || string(c.LinkTarget) != "b" || c.Mode&syscall.S_IFMT != syscall.S_IFLNK {
		t.Errorf("%v", response.Msg.Entries)
	}
	for follow, kind := range map[bool]uint32{false: syscall.S_IFLNK, true: syscall.S_IFREG} {
		got, err := client.Stat(deadline(t), connect.NewRequest(&agentv1.StatRequest{Path: dir + "/c", Follow: follow}))
		if err != nil || got.Msg.Info.Mode&syscall.S_IFMT != kind || string(got.Msg.Info.Name) != dir+"/c" {
			t.Errorf("follow %v: %v, %v", follow, got, err)
		}
	}
}

func TestListIsBounded(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	for i := range maxListEntries + 5 {
		file, err := os.Create(filepath.Join(dir, fmt.Sprintf("%06d", i)))
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	response, err := client.List(deadline(t), connect.NewRequest(&agentv1.ListRequest{Path: dir}))
	if err != nil || len(response.Msg.Entries) != maxListEntries || !response.Msg.Truncated {
		t.Fatalf("%d entries, truncated %v, %v", len(response.Msg.Entries), response.Msg.GetTruncated(), err)
	}
	if last := string(response.Msg.Entries[maxListEntries-1].Name); last != fmt.Sprintf("%06d", maxListEntries-1) {
		t.Errorf("last entry %q", last)
	}
}

func TestRefusals(t *testing.T) {
	client, dir := newClient(t), t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	stat := func(path string) error {
		_, err := client.Stat(deadline(t), connect.NewRequest(&agentv1.StatRequest{Path: path}))
		return err
	}
	list := func(path string) error {
		_, err := client.List(deadline(t), connect.NewRequest(&agentv1.ListRequest{Path: path}))
		return err
	}
	read := func(path string) error {
		stream, err := client.Read(deadline(t), connect.NewRequest(&agentv1.ReadRequest{Path: path}))
		if err != nil {
			return err
		}
		for stream.Receive() {
		}
		return stream.Err()
	}
	archive := func(path string) error {
		_, err := readTar(t, client, path)
		return err
	}
	writeTo := func(path string) error {
		_, err := write(t, client, &agentv1.WriteOpen{Path: path}, []byte("x"))
		return err
	}
	missing := dir + "/no/such"
	for _, test := range []struct {
		name string
		call func(string) error
		path string
		code connect.Code
	}{
		{"stat", stat, missing, connect.CodeNotFound},
		{"stat", stat, "relative", connect.CodeInvalidArgument},
		{"list", list, missing, connect.CodeNotFound},
		{"list", list, pipe, connect.CodeFailedPrecondition},
		{"read", read, missing, connect.CodeNotFound},
		{"read", read, dir, connect.CodeFailedPrecondition},
		{"read", read, pipe, connect.CodeFailedPrecondition},
		{"archive", archive, missing, connect.CodeNotFound},
		{"write", writeTo, missing, connect.CodeNotFound},
		{"write", writeTo, dir, connect.CodeFailedPrecondition},
	} {
		err := test.call(test.path)
		if connect.CodeOf(err) != test.code || !strings.Contains(fmt.Sprint(err), test.path) {
			t.Errorf("%s %q: %v; want %v", test.name, test.path, err, test.code)
		}
	}
	expectNames(t, dir, "pipe")
}

func expectNames(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if err != nil || strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, %v; want %q", dir, got, err, names)
	}
}

func readTar(t *testing.T, client agentv1connect.FileServiceClient, path string) ([]byte, error) {
	t.Helper()
	stream, err := client.ReadTar(deadline(t), connect.NewRequest(&agentv1.ReadTarRequest{Path: path}))
	if err != nil {
		return nil, err
	}
	var archive []byte
	for stream.Receive() {
		archive = append(archive, stream.Msg().Data...)
	}
	return archive, stream.Err()
}

func writeTar(t *testing.T, client agentv1connect.FileServiceClient, open *agentv1.WriteTarOpen, archive []byte) (*agentv1.WriteTarResponse, error) {
	t.Helper()
	stream := client.WriteTar(deadline(t))
	_ = stream.Send(&agentv1.WriteTarRequest{Message: &agentv1.WriteTarRequest_Open{Open: open}})
	for rest := archive; len(rest) > 0; {
		count := min(len(rest), 33_333)
		err := stream.Send(&agentv1.WriteTarRequest{Message: &agentv1.WriteTarRequest_Data{Data: rest[:count]}})
		if errors.Is(err, io.EOF) {
			break
		}
		rest = rest[count:]
	}
	response, err := stream.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return response.Msg, nil
}
