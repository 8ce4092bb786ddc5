// Command banger-agent is PID 1 of a guest, started by the kernel as /init of the initramfs. It also runs as an ordinary
// process for tests (serve). This file only tells the ways to run apart; the work lies in internal/.
package main

import (
	"fmt"
	"os"

	"banger.dev/banger/internal/boot"
	"banger.dev/banger/internal/realm"
	"banger.dev/banger/internal/sshd"
)

// version is set by the build.
var version = "dev"

const usage = `usage: banger-agent serve --socket PATH [--host-key FILE --authorized-keys FILE]
           serve the control channel on a unix socket, as a guest that runs already
       banger-agent --version
As PID 1: init of a guest; with the argument "poweroff" it powers the machine off at once.
`

func main() {
	arguments := os.Args[1:]
	if len(arguments) == 2 && arguments[0] == realm.StageArgument {
		realm.Stage(arguments[1])
	}
	if os.Getpid() == 1 {
		if len(arguments) > 0 && arguments[len(arguments)-1] == "poweroff" {
			fatal(boot.PowerOff())
		}
		fatal(runInit())
	}
	switch {
	case len(arguments) == 1 && arguments[0] == "--version":
		fmt.Println(version)
	case len(arguments) > 0 && arguments[0] == "serve":
		if err := serve(arguments[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "banger-agent: %v\n", err)
			os.Exit(1)
		}
	case len(arguments) == 1 && arguments[0] == sshd.SFTPArgument:
		if err := sshd.ServeSFTP(); err != nil {
			fmt.Fprintf(os.Stderr, "banger-agent: %v\n", err)
			os.Exit(1)
		}
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}

// fatal ends a machine that cannot go on. The console log tells the host why.
func fatal(err error) {
	fmt.Fprintf(os.Stderr, "banger-agent: fatal: %v\n", err)
	_ = boot.PowerOff()
	os.Exit(1)
}
