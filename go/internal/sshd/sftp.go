package sshd

import (
	"errors"
	"io"
	"os"

	"github.com/pkg/sftp"

	"banger.dev/banger/internal/process"
)

// SFTPArgument is the argument with which the agent's program is started to be an SFTP server; main calls ServeSFTP then.
const SFTPArgument = "sftp-server"

// ServeSFTP serves SFTP on stdin and stdout, as the user that it runs as, until stdin ends.
func ServeSFTP() error {
	return serveSFTP(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout}, "")
}

// serveSFTP serves one client; relative paths start in directory, or in the process's own when it is empty.
func serveSFTP(stream io.ReadWriteCloser, directory string) error {
	var options []sftp.ServerOption
	if directory != "" {
		options = append(options, sftp.WithServerWorkingDirectory(directory))
	}
	server, err := sftp.NewServer(stream, options...)
	if err != nil {
		return err
	}
	// Not server.Close: it would close the channel before the exit status is sent.
	if err := server.Serve(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// startSFTP takes the session for SFTP. Root is served by the agent itself, which saves a process start; anybody else by a
// process of their own, so that files get their owner and permissions hold.
func (s *session) startSFTP() (ok bool, then func()) {
	s.started = true
	if s.peer.user.UID == uint32(os.Geteuid()) {
		return true, func() {
			if serveSFTP(s.channel, s.peer.user.Home) != nil {
				s.exit(1)
				return
			}
			s.exit(0)
		}
	}
	return s.startCommand(process.Command{Argv: []string{"/proc/self/exe", SFTPArgument}})
}
