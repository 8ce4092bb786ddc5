// Package files reads and writes the guest's files for the host, as the agent's own user (root): single files, listings,
// and tar streams in both directions.
package files

import (
	"banger.dev/banger/internal/gen/banger/agent/v1/agentv1connect"
)

// chunkBytes bounds the data of one stream message.
const chunkBytes = 64 << 10

type service struct{}

// NewService returns the handler of FileService.
func NewService() agentv1connect.FileServiceHandler { return service{} }
