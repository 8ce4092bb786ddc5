// banger vm exec
import { BangerError } from "../../../lib/errors.ts";
import { environmentOption, guestDirectoryOption, oneReference } from "../../arguments.ts";
import { defineCommand, flag, option } from "../../command.ts";
import { isInteractive, runSession } from "../../session/session.ts";
import { beforeCommand } from "../../workspaces/moved.ts";

type Flags = {
  readonly interactive?: boolean;
  readonly tty?: boolean;
  readonly noTty?: boolean;
  readonly env?: readonly string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly guestPath?: string;
  readonly autoPrepare?: boolean;
  readonly noTools?: boolean;
};

export default defineCommand<Flags, [string]>({
  about: `Runs a command in a running VM and exits with its exit code. Output is passed on byte for byte; on a terminal of yours,
control characters are shown as escapes unless the command has a terminal itself (--tty). Input is passed on when stdin is a pipe or a
file. Without a command the user's login shell is run.

The words after -- are the command and its arguments as they are: no shell looks at them. For pipes, && or $VAR in the VM
write: sh -c '...'. Options of banger stand before the command.

It runs in the workspace when a repository was put into the VM, else in the user's home. When the host's repository has other commits
by now, a notice says so; --auto-prepare brings the workspace up to date first, unless the guest has changed what would be replaced. Where
the guest has mise and the repository pins tools, the command is run by mise, with those.

Ctrl-C interrupts the command in the VM; a second Ctrl-C ends the session. Exit code 128+n: the command was ended by signal n.`,
  examples: [
    ["banger vm exec sandbox -- uname -a", "run a command"],
    ["banger vm exec -it sandbox -- bash", "an interactive shell"],
    ["banger vm exec --workdir /root/repo --env CI=1 sandbox -- make test", "with a directory and a variable"],
    ["banger vm exec --auto-prepare sandbox -- make test", "with what is on the host now"],
    ["echo hello | banger vm exec sandbox -- tee /root/hello", "with input"],
  ],
  rest: "command",
  operands: "<vm> [-- <command> [argument...]]",
  parameters: {
    positional: oneReference("vm"),
    flags: {
      interactive: flag("pass stdin on although it is a terminal"),
      tty: flag("give the command a terminal (default when stdin, stdout and stderr are terminals)"),
      noTty: flag("never give the command a terminal: its stdout and stderr stay apart, byte for byte"),
      env: environmentOption,
      user: option("user to run as; default: the image's user", "name"),
      workdir: guestDirectoryOption(
        "workdir",
        "directory to run in; default: the repository that was shipped, or the image's",
      ),
      guestPath: guestDirectoryOption("guest-path", "the same as --workdir"),
      autoPrepare: flag("bring the workspace up to date with the host first"),
      noTools: flag("not through mise, also when the repository pins tools"),
    },
    aliases: { i: "interactive", t: "tty", T: "noTty", e: "env" },
  },
  async run(context, flags, vm) {
    const { workdir, guestPath, autoPrepare: prepare = false } = flags;
    if (workdir !== undefined && guestPath !== undefined && workdir !== guestPath) {
      throw new BangerError("usage", "--workdir and --guest-path are the same option: give one of them");
    }
    await using client = await context.connect();
    const tty = flags.noTty === true ? false : flags.tty;
    const { told } = await beforeCommand(context, client, vm, {
      prepare,
      interactive: isInteractive(context, { tty }),
    });
    context.exitCode = await runSession(context, client, {
      vm,
      argv: context.rest ?? [],
      environment: flags.env,
      cwd: workdir ?? guestPath,
      user: flags.user,
      tty,
      tools: flags.noTools === true ? false : undefined,
      interactive: flags.interactive,
    });
    await told;
  },
});
