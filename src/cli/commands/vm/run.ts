// banger vm run
import { defineCommand, flag, option } from "../../command.ts";
import { countOption, environmentOption, guestDirectoryOption, pathOperand } from "../../arguments.ts";
import { checkRunRequest, runVm } from "../../session/run-vm.ts";
import { Timings } from "../../session/timings.ts";
import { type VmFlags, vmFlags, vmParams } from "../../vm-options.ts";
import { checkShipFlags, shipFlags, type ShipFlags, shipParams, showPlan } from "../../workspace-flags.ts";

type Flags = VmFlags &
  ShipFlags & {
    readonly rm?: boolean;
    readonly detach?: boolean;
    readonly user?: string;
    readonly env?: readonly string[];
    readonly workdir?: string;
    readonly tty?: boolean;
    readonly noTty?: boolean;
    readonly interactive?: boolean;
    readonly timings?: boolean;
    readonly entrypoint?: string;
    readonly noBootstrap?: boolean;
    readonly noTools?: boolean;
    readonly fork?: number;
  };

export default defineCommand<Flags, [string?]>({
  about: `Makes a VM, starts it, and runs a command in it or opens a shell. Exits with the command's exit code.

  path        a directory in a git repository: its tracked files, with what is not committed, and its recent history are put into
              /root/repo first, and the command runs there ("vm workspace --help" says how to get the work back)
  -- command  what to run, with its arguments; no shell looks at them (for pipes or && write: -- sh -c '...')
  neither     what the image runs by itself; a shell when that is a shell, or nothing

As in docker, an image's entrypoint stands before the command, unless --entrypoint names another one (or none: --entrypoint '').
Environment, user and working directory are the image's, unless options say otherwise.

The VM stays afterwards unless --rm is given: "vm list --all" shows it, "vm ssh <name>" goes back in, "vm delete <name>"
removes it. With --rm it is removed when the command or shell ends, also after Ctrl-C. With --detach the command returns as
soon as the VM is ready and prints its name.

Sizes that are left out come from config.toml or from what this host has. The first run pulls an image and a kernel.

The kernel boots in the first VM of a shape (kernel, CPUs, memory); later ones start from a memory template that is made of it
("template --help"). --warm-from goes on from a snapshot: of "image warm", with services that are up, or of any VM.

The VM has no network unless it is given one: --nat for the public internet and nothing else, --allow HOST[:PORT] for exactly that. "net log"
shows what it did, "net --help" all of it. Inside, the name host.vm stands for the ports of this host that --allow-host opened.
With --fork N the VM is prepared once and forked: N VMs, <name>-1 to <name>-N, run the command at the same time, each with its number in
the variable BANGER_FORK. What they print has their names before each line; at the end stands how each ended and how much it changed
("vm workspace diff" compares two). The exit code is that of the first that failed.

--timings says on stderr, at the end, where the time went; with --json as one object: {"timings": {"vm", "start", "phases",
"totalMs"}}.`,
  examples: [
    ["banger vm run --rm -- uname -a", "one command in a fresh VM that is removed afterwards"],
    ["banger vm run ./repo -- make test", "run a repository's tests; the VM stays for a look"],
    ["banger vm run ./repo --dry-run", "what of a repository would go, and what would not"],
    ["banger vm run ./repo --branch try --detach --name box", "a repository on a branch of its own, to work in later"],
    ["banger vm run --name sandbox --memory 4G --vcpu 4", "a shell in a larger VM with a name"],
    [
      "banger vm run --rm --warm-from toolchain-ready ./repo -- make test",
      "the same, from a state with all tools in it",
    ],
    ["banger vm run --image mine --init /sbin/init", "a shell in a VM whose systemd runs its services"],
    ["banger vm run --rm --timings -- true", "where the time of a run goes"],
    ["banger vm run --rm --image python:3.12 -- python3 -c 'print(6 * 7)'", "an image of a registry"],
    ["banger vm run --rm -p 8000:8000 -- python3 -m http.server", "with a port of this host that leads into it"],
    ["banger vm run --rm --nat -- apt-get update", "with the public internet"],
    ["banger vm run --rm --allow packages.example.com:443 ./repo -- npm ci", "with one host, and nothing else"],
    ["banger vm run --name try --fork 4 ./repo -- ./try.sh", "the same command in four forks: try-1 to try-4"],
    ["banger vm run --detach --name box ./repo", "prepare a VM and come back later: banger vm ssh box"],
  ],
  rest: "dashes",
  operands: "[path] [-- <command> [argument...]]",
  parameters: {
    positional: {
      kind: "tuple",
      parameters: [{ ...pathOperand("path", "directory in a git repository"), optional: true }],
    },
    flags: {
      rm: flag("remove the VM when the command or shell ends, whatever the reason"),
      detach: flag("return when the VM is ready; print its name"),
      ...shipFlags,
      ...vmFlags,
      entrypoint: option("program to run instead of the image's entrypoint; '' for none", "program"),
      user: option("user to run as; default: the image's user", "name"),
      env: environmentOption,
      workdir: guestDirectoryOption("workdir", "directory to run in; default: the repository, or the image's"),
      tty: flag("give the command a terminal (default when stdin, stdout and stderr are terminals)"),
      noTty: flag("never give the command a terminal: its stdout and stderr stay apart, byte for byte"),
      interactive: flag("pass stdin on although it is a terminal"),
      noBootstrap: flag("go on when the VM lacks tools that the repository pins; install none"),
      noTools: flag("not through mise, also when the repository pins tools"),
      fork: countOption(
        "fork",
        "run the command in so many forks of the VM at the same time, and print what each made of it",
      ),
      timings: flag("print on stderr, at the end, how long each part took"),
    },
    aliases: { d: "detach", p: "publish", e: "env", t: "tty", T: "noTty", i: "interactive" },
  },
  async run(context, flags, path) {
    const {
      rm = false,
      detach = false,
      user,
      env,
      workdir,
      tty,
      noTty,
      interactive,
      timings,
      entrypoint,
      mode,
      includeUntracked,
      branch,
      from,
      dryRun,
      noBootstrap,
      noTools,
      fork,
      ...vm
    } = flags;
    const ship = { mode, includeUntracked, branch, from, dryRun };
    checkShipFlags(path, ship);
    const request = {
      ship: path === undefined ? undefined : shipParams(context, path, ship),
      argv: context.rest ?? [],
      entrypoint,
      rm,
      detach,
      bootstrap: noBootstrap !== true,
      fork,
      vm: vmParams(vm),
      session: {
        environment: env,
        cwd: workdir,
        user,
        tty: noTty === true ? false : tty,
        interactive,
        tools: noTools === true ? false : undefined,
      },
      timings: timings === true ? new Timings() : undefined,
    };
    checkRunRequest(request);
    await using client = await context.connect();
    if (dryRun === true && request.ship !== undefined) return await showPlan(context, client, request.ship);
    await runVm(context, client, request);
  },
});
