// What each error code means and what to do about it: the source of docs/errors.md.
import type { ErrorCode } from "./errors.ts";

/** Code -> when it is used, and what helps. A new code does not compile without its line. */
const reference: Readonly<Record<ErrorCode, readonly [meaning: string, remedy: string]>> = {
  usage: ["the command line is wrong", "the hint names the help page; exit code 2"],
  internal: ["a bug of banger", "`banger daemon status` shows where the log is; report it with the operation's lines"],
  cancelled: ["interrupted, or the other side went away", "what was begun is undone: run it again"],
  timeout: ["something did not answer in its time", "try again; `banger doctor` when it stays"],
  "config.invalid": [
    "`config.toml`, or the list that its `image_catalog` names, has something that is wrong",
    "mend what the message names",
  ],
  "config.unreadable": ["`config.toml` is there and cannot be read", "check its owner and mode"],
  "daemon.unreachable": ["the daemon does not answer on its socket", "`banger daemon status`, then its log"],
  "daemon.start-failed": ["the daemon could not start", "the message has its last words"],
  "daemon.outdated": [
    "daemon and command are of different versions",
    "`banger daemon stop`; the next command starts the new one",
  ],
  "daemon.busy": [
    "the daemon has work that stopping would cut off, or its database is locked",
    "wait, or `banger daemon stop --force`",
  ],
  "daemon.shutting-down": ["the daemon is stopping", "run the command again: it starts a new one"],
  "request.invalid": ["a request does not fit the method's schema", "for programs: see `docs/openapi.json`"],
  "request.unknown-method": ["there is no such method", "for programs: see `docs/openapi.json`"],
  "request.too-large": ["a request is longer than the daemon takes", "for programs: send less"],
  "state.newer": ["a newer banger wrote the database", "install that version again, or use another `BANGER_HOME`"],
  "state.unreadable": [
    "the database cannot be read",
    "the message says why; a copy from before a migration lies beside it",
  ],
  "vm.not-found": ["no VM has that name or id", "`banger vm list --all`"],
  "vm.ambiguous": ["the start of an id fits several VMs", "write more of it, or the name"],
  "vm.name-taken": ["a VM of that name exists", "take another name, or delete that VM"],
  "vm.name-invalid": ["a name has characters that host names cannot have", "1 to 63 of `a-z`, `0-9` and `-`"],
  "vm.spec-invalid": ["the sizes of a VM are not possible", "the message has the limits"],
  "vm.wrong-state": [
    "the VM runs, is paused or is stopped, and the command needs another state",
    "`banger vm start`, `banger vm resume` or `banger vm stop`",
  ],
  "vm.broken": ["the VM's guest does not follow the rules any more", "`banger vm restart`"],
  "vm.boot-failed": ["the guest did not come up", "the message ends with its console; `banger vm logs` has the whole"],
  "vm.boot-timeout": [
    "the guest did not come up in time",
    "`banger vm logs`; `boot_timeout_s` in `config.toml` on a slow host",
  ],
  "vmm.failed": ["QEMU refused or died", "the message has its last words; `banger doctor`"],
  "vmm.missing": ["QEMU is not installed, or does not know this machine", "the hint installs it"],
  "guest.unreachable": [
    "the agent in the VM does not answer, or its VM was ended, paused or put back while something was under way in it",
    "the hint leads on; without one `banger vm logs`, then `banger vm restart`",
  ],
  "guest.protocol": ["the agent said what it must not say", "the VM is not to be trusted: delete it"],
  "guest.failed": ["the agent could not do what it was asked", "the message has the guest's reason"],
  "exec.not-found": ["the VM has no such command", "exit code 127, as in a shell"],
  "exec.failed": ["the command could not be started in the VM", "the message has the guest's reason"],
  "file.not-found": ["a file or directory is not there", "check the path; a guest's path stands behind `<vm>:`"],
  "file.failed": ["a file could not be read or written", "the message has the reason"],
  "snapshot.not-found": ["no snapshot has that name or id", "`banger vm snapshot list`"],
  "snapshot.ambiguous": ["the start of an id fits several snapshots", "write more of it, or the name"],
  "snapshot.name-taken": ["a snapshot of that name exists", "take another name, or delete that snapshot"],
  "snapshot.failed": [
    "memory or disks of a VM could not be captured or put back",
    "the message has the reason; a VM that was captured goes on as it was",
  ],
  "snapshot.incompatible": [
    "a snapshot is of another VM, or memory was taken with another QEMU, processor, kernel or agent than there is now",
    "`banger vm fork <snapshot>` makes a VM of its own; a paused VM: `banger vm kill`, then `banger vm start`",
  ],
  "template.not-found": ["no memory template has that id", "`banger template list`"],
  "template.failed": [
    "a memory template could not be made",
    "the message has the reason; VMs boot until `banger template warm` works",
  ],
  "port.in-use": [
    "a port or socket of the host is taken",
    "the message says by whom; take another one, or leave the host port out for a free one",
  ],
  "port.failed": ["a port or socket of the host cannot be listened on", "the message has the reason"],
  "network.missing": ["`banger-netd`, which carries the network of VMs, is not there", "`make build`"],
  "network.failed": [
    "the network of a VM could not be started, or its `banger-netd` ended",
    "the message has its last words; `banger net restart <vm>`",
  ],
  "network.policy-invalid": [
    "a rule or a policy of a VM's network cannot be",
    "the message says which word; `banger net --help`",
  ],
  "network.off": ["the VM has no network, and the command needs one", "`banger vm set <vm> --network balanced`"],
  "network.not-found": ["no network that VMs can join has that name", "`banger network list`"],
  "network.in-use": ["a VM is in the network", "delete the VM first"],
  "secret.not-found": ["no secret has that name", "`banger secret list`"],
  "secret.invalid": ["a secret cannot be as it was given", "the message says which part; `banger secret set --help`"],
  "secret.failed": [
    "the command of a secret gave no value",
    "run it by hand; `banger secret set` gives it another one",
  ],
  "image.not-found": ["no image has that name or id", "`banger image list`, `banger image catalog`"],
  "image.ambiguous": ["the start of an id fits several images", "write more of it, or the name"],
  "image.exists": ["an image of that name exists", "take another name, or `--force`"],
  "image.in-use": ["a VM still uses the image", "delete the VMs that the message names"],
  "image.invalid": ["what was given is no root file system", "the message says what is missing"],
  "image.build-failed": ["an image could not be made", "the message has the builder's last words"],
  "image.reference-invalid": [
    "the name of an image in a registry is not written as such names are",
    "the message says what is wrong in it and has an example",
  ],
  "kernel.not-found": ["no kernel has that name or id", "`banger kernel list`, `banger kernel catalog`"],
  "kernel.ambiguous": ["the start of an id fits several kernels", "write more of it, or the name"],
  "kernel.exists": ["a kernel of that name exists", "take another name, or `--force`"],
  "kernel.in-use": ["a VM still uses the kernel", "delete the VMs that the message names"],
  "kernel.invalid": ["what was given is no kernel with its modules", "the message says what is missing"],
  "kernel.fetch-failed": ["a kernel package could not be fetched", "`sudo apt-get update`; check the network"],
  "registry.unreachable": [
    "no connection to a registry, or it was cut too often",
    "check the host name, the network and `HTTPS_PROXY`; `NODE_EXTRA_CA_CERTS` for a certificate authority of your own",
  ],
  "registry.denied": [
    "a registry does not give that image without credentials, or not with these",
    "`banger registry login <host>`",
  ],
  "registry.failed": [
    "a registry answered with an error, or with what no registry may answer",
    "the message has its own words; try again later",
  ],
  "workspace.not-a-repository": ["the path is not in a git repository", "`git init` and `git add` there"],
  "workspace.failed": ["a repository could not be shipped", "the message has the reason"],
  "workspace.none": [
    "the VM has no workspace, or one that this cannot be done with",
    "`banger vm workspace prepare <vm> <path>`",
  ],
  "workspace.changed": [
    "what was changed in the guest would be lost",
    "`banger vm workspace export` first, or `--force` to lose it",
  ],
  "workspace.refused": [
    "a guest's workspace holds what must not come to the host: odd names, repositories, too much",
    "the message names it; remove it in the guest",
  ],
  "workspace.conflict": [
    "host and guest changed the same lines; nothing was applied",
    "`banger vm workspace export <vm> --apply --branch <name>`, and merge it",
  ],
  "workspace.tools-missing": [
    "a repository asks for tools that the VM does not have, and they cannot be fetched",
    "`--no-bootstrap`, or an image that has them",
  ],
  "operation.not-found": ["no operation has that id", "`banger operation list`; those older than a day are gone"],
  "operation.interrupted": ["the daemon ended before the operation was done", "run it again"],
  "command.failed": ["a program of the host failed", "the message has its last words"],
  "command.missing": ["a program of the host is not installed", "the hint installs it; `banger doctor` lists all"],
  "disk.full": ["no space is left on the host's disk", "free some; `banger image list` shows what images take"],
  "disk.read-only": ["a file system of the host cannot be written to", "make it writable, or set `BANGER_HOME`"],
  "host.open-files": [
    "a process has no file descriptor left",
    "stop some VMs, or allow more (`ulimit -n`) and restart the daemon",
  ],
  "ssh.failed": ["the system's ssh could not be used", "`banger doctor`"],
};

/** The text of docs/errors.md. */
export function errorReference(): string {
  const rows = Object.entries(reference).map(([code, [meaning, remedy]]) => [`\`${code}\``, meaning, remedy]);
  const table = [["code", "meaning", "what helps"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) => `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  const [header = [], ...body] = table;
  const rule = line(widths.map((width) => "-".repeat(width)));
  return `${introduction}\n${[line(header), rule, ...body.map(line)].join("\n")}\n`;
}

const introduction = `# Errors

What \`banger\` prints to stderr when something fails:

\`\`\`text
banger: error: VM "box" is not running (stopped) (vm.wrong-state)
banger: hint: banger vm start box
\`\`\`

The message says what failed, on which thing and why, with the code behind it. There may also be a \`cause:\`, a \`hint:\` that
can be pasted, and an \`operation:\` id that leads through \`banger operation show\` and the daemon's log. With \`--json\` the same
fields are one object on stderr: \`{"error": {"code", "message", "hint", "causes", "details", "operation"}}\`.

Codes are a closed list; new ones are added, none is renamed or removed. The exit code is 1, but for 2 (\`usage\`), 127
(\`exec.not-found\`) and interrupts: [exit-codes.md](exit-codes.md). Generated from the source: \`node scripts/error-docs.ts\`.
`;
