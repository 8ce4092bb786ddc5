// The commands on VMs and on their snapshots, and the words that tell them apart.
import { group, leaf } from "./entry.ts";
import { workspace } from "./workspace-group.ts";

const snapshot = group(
  "states of VMs to go back to and to go on from",
  `A snapshot holds a VM's memory and disks as they were at one instant: every process, open file and unsaved byte. The VM runs on;
it stands still for some tens of milliseconds. Of a stopped VM a snapshot holds disks only. It costs the memory that the guest had
in use and what is written to the disks afterwards, and stays until it is deleted, also when its VM is gone.

Which one do you want?
  vm snapshot create   a state under a name, to go back to ("vm restore") or on from ("vm fork") as often as you like
  vm fork              more VMs like this one now, without a name for the state: ten copies to try ten ideas
  vm pause             this one VM put aside, without CPU and memory, until "vm resume"; there is no second copy
  image warm           a snapshot of a fresh VM after a command ran in it, for "vm run --warm-from"
  templates            nothing to do: every start uses them by itself; there is nothing of an image, a VM or a user in them`,
  [
    ["banger vm snapshot create sandbox before-upgrade", "keep a state"],
    ["banger vm restore sandbox before-upgrade", "back to it, in the same VM"],
    ["banger vm fork before-upgrade --count 3 --name try", "three more VMs that go on from it"],
    ["banger vm snapshot list", "which there are, what they take, who uses them"],
    ["banger vm snapshot delete before-upgrade", "remove it"],
  ],
  {
    create: leaf("keep memory and disks of a VM as they are", () => import("./commands/vm/snapshot/create.ts")),
    list: leaf("list snapshots", () => import("./commands/vm/snapshot/list.ts")),
    show: leaf("show all that is known of one snapshot", () => import("./commands/vm/snapshot/show.ts")),
    delete: leaf("remove snapshots", () => import("./commands/vm/snapshot/delete.ts")),
  },
  { ls: "list", rm: "delete" },
);

/** "banger vm". */
export const vm = group(
  "make, use and remove sandboxes",
  `A VM is a disposable Linux machine with its own kernel, root file system and /root disk. You are root in it.

Most of the time one command is enough: "vm run" makes a VM, ships a repository into it when you name one, and runs a
command or opens a shell. Later, "vm exec" runs further commands, "vm cp" moves files, "vm delete" removes it.

Near-twins: "start" starts a stopped VM; "stop" shuts down cleanly and keeps the disks; "restart" is stop, then start (fresh
memory); "kill" ends it at once when stop hangs (like pulling the plug); "delete" stops it and removes its disks (cannot be
undone).

With what runs in it: "pause" puts a VM aside until "resume"; "snapshot" keeps a state, which "restore" puts the VM back to;
"fork" makes further VMs that go on from where this one is.`,
  [
    ["banger vm run --rm -- uname -a", "run one command in a fresh VM, then remove the VM"],
    ["banger vm run ./repo -- make test", "ship a git repository into a VM and run its tests there"],
    ["banger vm run --name sandbox", "make a VM and open a shell in it"],
    ["banger vm list --all", "see what is there"],
    ["banger vm fork sandbox --count 10 --name try", "ten more VMs that go on from where it is"],
    ["banger vm delete sandbox", "remove it"],
  ],
  {
    run: leaf("make a VM and run a command or a shell in it", () => import("./commands/vm/run.ts")),
    create: leaf("make a VM without opening a session", () => import("./commands/vm/create.ts")),
    list: leaf("list running and paused VMs (--all: every VM)", () => import("./commands/vm/list.ts")),
    show: leaf("show all that is known of one VM", () => import("./commands/vm/show.ts")),
    rename: leaf("give a VM another name", () => import("./commands/vm/rename.ts")),
    set: leaf("change CPUs, memory and disk sizes of VMs", () => import("./commands/vm/set.ts")),
    label: leaf("set, remove and print labels of a VM", () => import("./commands/vm/label.ts")),
    touch: leaf("count as use, and give more time", () => import("./commands/vm/touch.ts")),
    wait: leaf("wait for a VM's state, or for a port in it", () => import("./commands/vm/wait.ts")),
    ping: leaf("does the agent of a VM answer", () => import("./commands/vm/ping.ts")),
    health: leaf("can a VM start processes", () => import("./commands/vm/health.ts")),
    stats: leaf("what running VMs use", () => import("./commands/vm/stats.ts")),
    top: leaf("processes of a VM, the busiest first", () => import("./commands/vm/top.ts")),
    ports: leaf("what listens in a VM", () => import("./commands/vm/ports.ts")),
    forward: leaf("make ports and sockets of this host lead into a VM", () => import("./commands/vm/forward.ts")),
    exec: leaf("run a command in a running VM", () => import("./commands/vm/exec.ts")),
    ssh: leaf("open an SSH session with the system's ssh", () => import("./commands/vm/ssh.ts")),
    cp: leaf("copy files between the host and a VM", () => import("./commands/vm/cp.ts")),
    logs: leaf("print a VM's console", () => import("./commands/vm/logs.ts")),
    start: leaf("start stopped VMs", () => import("./commands/vm/start.ts")),
    stop: leaf("shut VMs down cleanly; disks stay", () => import("./commands/vm/stop.ts")),
    restart: leaf("stop and start VMs: fresh memory, same disks", () => import("./commands/vm/restart.ts")),
    pause: leaf("put VMs aside with all that runs in them", () => import("./commands/vm/pause.ts")),
    resume: leaf("let paused VMs go on where they were", () => import("./commands/vm/resume.ts")),
    fork: leaf("make VMs that go on from a VM or a snapshot", () => import("./commands/vm/fork.ts")),
    restore: leaf("put a VM back to a snapshot", () => import("./commands/vm/restore.ts")),
    snapshot,
    workspace,
    kill: leaf("end VMs at once, when stop hangs", () => import("./commands/vm/kill.ts")),
    delete: leaf("stop VMs and remove their disks for good", () => import("./commands/vm/delete.ts")),
    prune: leaf("remove all VMs that do not run", () => import("./commands/vm/prune.ts")),
  },
  { ls: "list", ps: "list", rm: "delete" },
);
