package sshd

import (
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"banger.dev/banger/internal/account"
)

// asUser runs a function whose file operations have the user's rights and not the agent's: the user may swap what paths
// name at any moment. The function must not start goroutines for them.
func asUser(user account.Account, do func() error) error {
	if os.Geteuid() != 0 || user.UID == 0 {
		return do()
	}
	// The rights belong to the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setfsgid(int(user.GID)); err != nil {
		return err
	}
	defer func() { _ = unix.Setfsgid(0) }()
	if err := unix.Setfsuid(int(user.UID)); err != nil {
		return err
	}
	defer func() { _ = unix.Setfsuid(0) }()
	return do()
}

// userListener is a unix socket that its user made, and that goes with the user's rights.
type userListener struct {
	*net.UnixListener
	user account.Account
	path string
}

func listenAsUser(user account.Account, path string) (*userListener, error) {
	made := &userListener{user: user, path: path}
	err := asUser(user, func() error {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		listener.SetUnlinkOnClose(false)
		made.UnixListener = listener
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		if made.UnixListener != nil {
			_ = made.Close()
		}
		return nil, err
	}
	return made, nil
}

// Close ends the listening and removes the socket.
func (l *userListener) Close() error {
	err := l.UnixListener.Close()
	_ = asUser(l.user, func() error { return os.Remove(l.path) })
	return err
}
