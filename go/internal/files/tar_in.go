package files

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"

	"connectrpc.com/connect"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// WriteTar implements FileService. Entries replace files and links that exist; a directory that exists is kept, also
// where a link inside the receiving directory stands for it. Nothing is undone when an entry fails.
func (service) WriteTar(ctx context.Context, stream *connect.ClientStream[agentv1.WriteTarRequest]) (*connect.Response[agentv1.WriteTarResponse], error) {
	if !stream.Receive() {
		return nil, streamFailure(stream.Err(), "unpack")
	}
	open := stream.Msg().GetOpen()
	if open == nil {
		return nil, invalid("the first unpack request must be open")
	}
	directory := open.GetDirectory()
	if err := checkPath(directory); err != nil {
		return nil, err
	}
	target, err := openUnpacker(directory, ownership{keep: open.GetKeepOwners(), uid: open.GetUid(), gid: open.GetGid()})
	if err != nil {
		return nil, failure("unpack into", directory, err)
	}
	defer target.close()
	source := &tarStream{stream: stream}
	if err := target.unpack(ctx, tar.NewReader(source)); err != nil {
		if streamErr := stream.Err(); streamErr != nil {
			return nil, streamErr
		}
		return nil, failure("unpack into", directory, err)
	}
	// What follows the end of the archive is padding; the host must be able to send it.
	if _, err := io.Copy(io.Discard, source); err != nil {
		return nil, err
	}
	return connect.NewResponse(&agentv1.WriteTarResponse{Entries: target.entries, WrittenBytes: target.writtenBytes}), nil
}

func (u *unpacker) unpack(ctx context.Context, archive *tar.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := archive.Next()
		if err == io.EOF {
			return u.finishDirectories()
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, tar.ErrFieldTooLong) {
			return invalid("the archive is damaged or ends early: %v", err)
		}
		if err != nil {
			return err
		}
		if err := u.add(header, archive); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return invalid("the archive ends early, in %q", header.Name)
			}
			return failure("entry", header.Name, err)
		}
		u.entries++
	}
}

// tarStream reads the data of the requests as one stream of bytes.
type tarStream struct {
	stream *connect.ClientStream[agentv1.WriteTarRequest]
	rest   []byte
}

func (s *tarStream) Read(data []byte) (int, error) {
	for len(s.rest) == 0 {
		if !s.stream.Receive() {
			if err := s.stream.Err(); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		s.rest = s.stream.Msg().GetData()
	}
	count := copy(data, s.rest)
	s.rest = s.rest[count:]
	return count, nil
}

// ownership says whom unpacked entries belong to.
type ownership struct {
	keep     bool
	uid, gid uint32
}

// of returns the owner of an entry; nobody is asked when the agent may not change owners (tests, hosted mode).
func (o ownership) of(header *tar.Header) (uid, gid int, change bool) {
	if o.keep {
		return header.Uid, header.Gid, os.Geteuid() == 0
	}
	return int(o.uid), int(o.gid), os.Geteuid() == 0
}
