package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"banger.dev/banger/internal/netd/frame"
)

func framed(frames ...[]byte) []byte {
	var b []byte
	for _, f := range frames {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return b
}

func allocate(size int) []byte { return make([]byte, size) }

func TestReader(t *testing.T) {
	r := frame.NewReader(bytes.NewReader(framed([]byte("one"), nil, make([]byte, 200), []byte("two"))), 100)
	for _, want := range []string{"one", "", "two"} {
		if got, err := r.Next(allocate); err != nil || string(got) != want {
			t.Fatalf("%q, %v instead of %q", got, err, want)
		}
	}
	if _, err := r.Next(allocate); err != io.EOF || r.Skipped() != 1 {
		t.Fatalf("%v, %d skipped", err, r.Skipped())
	}
	for n := 1; n < 7; n++ {
		if _, err := frame.NewReader(bytes.NewReader(framed([]byte("one"))[:n]), 100).Next(allocate); err != io.ErrUnexpectedEOF {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestWriterKeepsTheOrderAndLetsGo(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	w := frame.NewWriter(ours)
	defer w.Close()
	var released atomic.Int32
	const count = 5000
	go func() {
		for i := range count {
			part := binary.BigEndian.AppendUint32(nil, uint32(i))
			w.Send(frame.Outgoing{Parts: [][]byte{part[:1], nil, part[1:]}, Release: func() { released.Add(1) }})
		}
	}()
	r := frame.NewReader(theirs, 100)
	for i := range count {
		got, err := r.Next(allocate)
		if err != nil || binary.BigEndian.Uint32(got) != uint32(i) {
			t.Fatalf("frame %d is %x, %v", i, got, err)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for released.Load() != count {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d frames were let go", released.Load(), count)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestWriterIsBounded(t *testing.T) {
	ours, theirs := net.Pipe()
	w := frame.NewWriter(ours)
	var held atomic.Int64
	big := make([]byte, 60<<10)
	for range 1000 {
		held.Add(1)
		w.Send(frame.Outgoing{Parts: [][]byte{big}, Release: func() { held.Add(-1) }})
	}
	if held.Load() > 300 || w.Lost() == 0 {
		t.Errorf("%d frames are held, %d were lost", held.Load(), w.Lost())
	}
	w.Close()
	theirs.Close()
	ours.Close()
	if w.Send(frame.Outgoing{Release: func() { held.Add(-100000) }}) || held.Load() > -1000 {
		t.Error("a closed writer takes frames, or does not let them go")
	}
}

func FuzzReader(f *testing.F) {
	f.Add(framed([]byte("one"), nil, make([]byte, 200)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1, 2, 3})
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := frame.NewReader(bytes.NewReader(stream), 100)
		total := 0
		for {
			got, err := r.Next(func(size int) []byte {
				if size > 100 {
					t.Fatalf("a frame of %d bytes", size)
				}
				return make([]byte, size)
			})
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				return
			}
			if total += 4 + len(got); total > len(stream) {
				t.Fatal("more came out than went in")
			}
		}
	})
}
