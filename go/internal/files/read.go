package files

import (
	"context"
	"io"
	"os"
	"syscall"

	"connectrpc.com/connect"

	agentv1 "banger.dev/banger/internal/gen/banger/agent/v1"
)

// Read implements FileService.
func (service) Read(ctx context.Context, request *connect.Request[agentv1.ReadRequest], stream *connect.ServerStream[agentv1.ReadResponse]) error {
	name := request.Msg.GetPath()
	if err := checkPath(name); err != nil {
		return err
	}
	// Non-blocking, because opening a named pipe would wait for its writer.
	file, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return failure("read", name, err)
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil {
		return failure("read", name, err)
	}
	if !status.Mode().IsRegular() {
		return connect.NewError(connect.CodeFailedPrecondition, notRegular("read", name, status))
	}
	sink := chunkWriter(func(data []byte) error { return stream.Send(&agentv1.ReadResponse{Data: data}) })
	chunk := make([]byte, chunkBytes)
	for ctx.Err() == nil {
		count, err := file.Read(chunk)
		if count > 0 {
			if err := sink(chunk[:count]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return failure("read", name, err)
		}
	}
	return ctx.Err()
}
