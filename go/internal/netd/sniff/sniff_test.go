package sniff_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"banger.dev/banger/internal/netd/sniff"
)

// hello of Go's TLS client.
func hello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go tls.Client(theirs, config).Handshake()
	defer theirs.Close()
	defer ours.Close()
	buffer := make([]byte, 16<<10)
	n, err := ours.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	return buffer[:n]
}

func TestParseHello(t *testing.T) {
	whole := hello(t, &tls.Config{ServerName: "Api.Example.com", NextProtos: []string{"h2", "http/1.1"}})
	got, err := sniff.ParseHello(whole)
	if err != nil || got.Name != "api.example.com" || !slices.Equal(got.Protocols, []string{"h2", "http/1.1"}) || got.Encrypted {
		t.Fatalf("%+v, %v", got, err)
	}
	for n := range len(whole) {
		if _, err := sniff.ParseHello(whole[:n]); !errors.Is(err, sniff.ErrMore) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	// In records of a few bytes each.
	var pieces []byte
	for piece := range slices.Chunk(whole[5:], 7) {
		pieces = append(append(pieces, 22, 3, 1, 0, byte(len(piece))), piece...)
	}
	if got, err := sniff.ParseHello(pieces); err != nil || got.Name != "api.example.com" {
		t.Fatalf("in pieces: %+v, %v", got, err)
	}
	if got, err := sniff.ParseHello(hello(t, &tls.Config{InsecureSkipVerify: true})); err != nil || got.Name != "" {
		t.Fatalf("without a name: %+v, %v", got, err)
	}
}

// extension is one of a hello that tests make.
func extension(kind uint16, body []byte) []byte {
	return append([]byte{byte(kind >> 8), byte(kind), byte(len(body) >> 8), byte(len(body))}, body...)
}

func serverNames(names ...string) []byte {
	var list []byte
	for _, name := range names {
		list = append(append(list, 0, byte(len(name)>>8), byte(len(name))), name...)
	}
	return extension(0, append([]byte{byte(len(list) >> 8), byte(len(list))}, list...))
}

func made(extensions ...[]byte) []byte {
	all := bytes.Join(extensions, nil)
	body := append(make([]byte, 34), 0, 0, 2, 0x13, 1, 1, 0)
	body = append(append(body, byte(len(all)>>8), byte(len(all))), all...)
	message := append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
	return append([]byte{22, 3, 1, byte(len(message) >> 8), byte(len(message))}, message...)
}

func TestHellosThatServersCouldReadDifferently(t *testing.T) {
	if got, err := sniff.ParseHello(made(serverNames("a.example"))); err != nil || got.Name != "a.example" {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := sniff.ParseHello(made(serverNames("10.0.0.1"))); err != nil || got.Name != "" {
		t.Fatalf("an address: %+v, %v", got, err)
	}
	if got, err := sniff.ParseHello(made(extension(0xfe0d, []byte{0}))); err != nil || !got.Encrypted {
		t.Fatalf("an encrypted hello: %+v, %v", got, err)
	}
	trailing := made(serverNames("a.example"))
	trailing = append(trailing, 1)
	trailing[4]++
	for what, stream := range map[string][]byte{
		"two names":           made(serverNames("a.example", "b.example")),
		"two extensions":      made(serverNames("a.example"), serverNames("b.example")),
		"a zero byte":         made(serverNames("a.example\x00.b.example")),
		"a space":             made(serverNames("a.example b.example")),
		"no name in the list": made(extension(0, []byte{0, 0})),
		"an empty name":       made(serverNames("")),
		"only a dot":          made(serverNames(".")),
		"a long name":         made(serverNames(strings.Repeat("a.", 130) + "b")),
		"a numeric name":      made(serverNames("0x7f000001")),
		"an empty extension":  made(extension(0, nil)),
		"half an extension":   made([]byte{0, 0, 0}),
		"something behind it": trailing,
		"another message":     {22, 3, 1, 0, 4, 2, 0, 0, 0},
		"an empty record":     {22, 3, 1, 0, 0},
		"a huge message":      {22, 3, 1, 0, 4, 1, 0xff, 0, 0},
		"another record":      append([]byte{22, 3, 1, 0, 1, 1}, 23, 3, 3, 0, 1, 0),
	} {
		if got, err := sniff.ParseHello(stream); err == nil || errors.Is(err, sniff.ErrMore) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

func TestRecognize(t *testing.T) {
	for stream, want := range map[string]sniff.Kind{
		"": sniff.Unknown, "\x16": sniff.TLS, "\x16\x03\x01": sniff.TLS, "\x16\x0f\xff": sniff.TLS, "\x80\x2e\x01\x03\x01": sniff.TLS, "\x80\x2e\x01\x00\x02": sniff.TLS,
		"\x80\x2e\x01": sniff.Unknown, "\x80\x2e\x02": sniff.Other, "\x80\x2e\x01\x00\x03": sniff.Other, "GE": sniff.Unknown, "GET / HTT": sniff.Unknown,
		"GET / HTTP/1.1\r\n": sniff.HTTP, "get / http/1.0\n": sniff.HTTP, "\r\n\r\n \tGET / HTTP/1.1\r\n": sniff.HTTP, "\x00GET / HTTP/1.1\r\n": sniff.HTTP,
		"GET /\r\n": sniff.HTTP, "WHATEVER /x HTTP/1.1\r\n": sniff.HTTP, "GET\t/\tHTTP/1.1\r\n": sniff.HTTP, "PRI * HTTP/2.0\r\n\r\n": sniff.HTTP2,
		"SSH-2.0-x\r\n": sniff.SSH, "SSH": sniff.Unknown, "SSH-": sniff.SSH, " SSH-2.0": sniff.Unknown, "EHLO me\r\n": sniff.Other,
		"PING\r\n": sniff.Other, "\x00\x00\x00\x08\x04\xd2\x16\x2f": sniff.Other, strings.Repeat("A", 65): sniff.Other, "G " + strings.Repeat("A", 9000): sniff.Other,
		"\r\n": sniff.Unknown,
	} {
		if got := sniff.Recognize([]byte(stream)); got != want {
			t.Errorf("%q is %d, not %d", stream[:min(len(stream), 40)], got, want)
		}
	}
}

func FuzzParseHello(f *testing.F) {
	f.Add(made(serverNames("a.example")))
	f.Add(made(serverNames("a.example", "b.example"), extension(16, []byte{0, 3, 2, 'h', '2'})))
	f.Add(hello(f, &tls.Config{ServerName: "api.example.com"}))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, err := sniff.ParseHello(stream)
		if err == nil && strings.ContainsAny(got.Name, "\x00 /\r\n") {
			t.Errorf("a name that is none: %q", got.Name)
		}
		if errors.Is(err, sniff.ErrMore) && len(stream) > 5*sniff.MaxHello+64 {
			t.Errorf("%d bytes are not enough", len(stream))
		}
		// What is told of a part is not told otherwise when there is more.
		if err != nil && !errors.Is(err, sniff.ErrMore) {
			if _, err := sniff.ParseHello(append(slices.Clone(stream), 0)); err == nil {
				t.Error("refused, and taken with one byte more")
			}
		}
	})
}

func FuzzRecognize(f *testing.F) {
	for _, seed := range []string{"GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\x16\x03\x01\x00", "\r\n\x00PRI * HTTP/2.0\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		kind := sniff.Recognize(stream)
		if kind == sniff.Unknown && len(stream) > 16<<10 {
			t.Error("it never ends")
		}
		if kind == sniff.Other {
			if again := sniff.Recognize(append(slices.Clone(stream), '\n')); again == sniff.HTTP {
				t.Errorf("%q is HTTP once its line is complete", stream)
			}
		}
	})
}
