package sshd

import (
	"strings"
	"syscall"
)

// signals are those that RFC 4254 section 6.10 names.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "FPE": syscall.SIGFPE, "HUP": syscall.SIGHUP, "ILL": syscall.SIGILL,
	"INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "PIPE": syscall.SIGPIPE, "QUIT": syscall.SIGQUIT,
	"SEGV": syscall.SIGSEGV, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
}

// signalNumber is 0 for a name that is not known.
func signalNumber(name string) syscall.Signal { return signals[strings.TrimPrefix(name, "SIG")] }

// signalName is empty for a signal that has no name in the protocol: its end is told as status 128+n.
func signalName(sig syscall.Signal) string {
	for name, number := range signals {
		if number == sig {
			return name
		}
	}
	return ""
}
