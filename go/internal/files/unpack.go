package files

import (
	"archive/tar"
	"context"
	"io"
)

// Unpack writes the entries of a tar below a directory, which is made when absent. They belong to root. No entry leaves the directory.
func Unpack(ctx context.Context, directory string, archive io.Reader) (entries uint64, err error) {
	target, err := openUnpacker(directory, ownership{})
	if err != nil {
		return 0, failure("unpack into", directory, err)
	}
	defer target.close()
	if err := target.unpack(ctx, tar.NewReader(archive)); err != nil {
		return target.entries, failure("unpack into", directory, err)
	}
	// What follows the end of the archive is padding; the host must be able to send it.
	_, err = io.Copy(io.Discard, archive)
	return target.entries, err
}
