// Every command and group, with one line each. A command's file is loaded only when it is the one that was asked for.
import { type Group, group, type Leaf, leaf } from "./entry.ts";
import { vm } from "./vm-group.ts";

const imageCache = group(
  "blobs of pulled images, kept for later pulls",
  `Layers that pulls have fetched stay in a cache, so that images which share them fetch them once. Images do not need them any more.`,
  [
    ["banger image cache size", "how much they take"],
    ["banger image cache prune", "remove them"],
  ],
  {
    list: leaf("list cached blobs", () => import("./commands/image/cache/list.ts")),
    size: leaf("how much they take", () => import("./commands/image/cache/size.ts")),
    verify: leaf("check every blob against its digest", () => import("./commands/image/cache/verify.ts")),
    prune: leaf("remove blobs that no pull reads", () => import("./commands/image/cache/prune.ts")),
  },
  { ls: "list" },
);

const image = group(
  "root file systems that VMs start from",
  `An image is a read-only root file system. All VMs of an image share it; each VM keeps its own changes on its own disk.

You need not do anything: "vm run" pulls its image when it is missing, be it of the catalog or of a registry (alpine:3.20). Use
"import" for what is on this machine: an OCI image layout, an archive of "docker save", or the tar of a root file system.`,
  [
    ["banger image list", "images on this machine"],
    ["banger image catalog", "images that can be pulled"],
    ["banger image pull debian-bookworm", "make one of them"],
    ["banger image pull alpine:3.20", "an image of a registry"],
    ["banger image import ./layout --name mine", "make an image from an OCI image layout, or a tar"],
    ["banger image warm mine --name ready", "a snapshot of it, up and running, for vm run --warm-from"],
  ],
  {
    list: leaf("list local images", () => import("./commands/image/list.ts")),
    show: leaf("show one image", () => import("./commands/image/show.ts")),
    inspect: leaf("print the manifest and config of an image", () => import("./commands/image/inspect.ts")),
    history: leaf("list the steps in which an image was built", () => import("./commands/image/history.ts")),
    pull: leaf("get an image from a registry or the catalog", () => import("./commands/image/pull.ts")),
    import: leaf("make an image from files on this machine", () => import("./commands/image/import.ts")),
    export: leaf("write an image as an OCI image layout", () => import("./commands/image/export.ts")),
    tag: leaf("give an image one more name", () => import("./commands/image/tag.ts")),
    register: leaf("make an image of an ext4 file where it lies", () => import("./commands/image/register.ts")),
    promote: leaf("copy a registered image into the store", () => import("./commands/image/promote.ts")),
    warm: leaf("keep a VM of an image, with its services up", () => import("./commands/image/warm.ts")),
    delete: leaf("remove images that no VM uses", () => import("./commands/image/delete.ts")),
    catalog: leaf("list images that can be pulled", () => import("./commands/image/catalog.ts")),
    cache: imageCache,
  },
  { ls: "list", rm: "delete" },
);

const kernel = group(
  "Linux kernels that VMs boot",
  `A kernel is a bootable Linux with its modules. "vm run" pulls the default kernel when it is missing; use "import" for one
of your own: a Debian kernel package (.deb) or a directory with vmlinuz and lib/modules.`,
  [
    ["banger kernel list", "kernels on this machine"],
    ["banger kernel catalog", "kernels that can be pulled"],
    ["banger kernel import ./linux-image-6.1.0-30-cloud-amd64.deb --name mine", "make a kernel from a Debian package"],
  ],
  {
    list: leaf("list local kernels", () => import("./commands/kernel/list.ts")),
    show: leaf("show one kernel", () => import("./commands/kernel/show.ts")),
    pull: leaf("fetch a kernel of the catalog", () => import("./commands/kernel/pull.ts")),
    import: leaf("make a kernel from a .deb or a directory", () => import("./commands/kernel/import.ts")),
    rm: leaf("remove kernels that no VM uses", () => import("./commands/kernel/rm.ts")),
    catalog: leaf("list kernels that can be pulled", () => import("./commands/kernel/catalog.ts")),
  },
  { ls: "list", delete: "rm" },
);

const net = group(
  "what VMs may reach, and what they did",
  `A VM has no network unless it is given one. One that has is still kept from everything that belongs to this host, until a rule says
otherwise: its loopback, its own addresses, private and link-local networks, cloud metadata.

  none       nothing (the default)
  balanced   every public address; --nat is short for it
  open       private networks, too
  locked     nothing but what rules allow: names, addresses, ranges, ports

Rules are given with --allow, --deny and --allow-host to "vm run" and "vm create", and changed with "net policy" while the VM runs. What is
denied is refused at once, never dropped, and "net log" shows it with the rule that would allow it. docs/network.md has the whole.`,
  [
    ["banger vm run --rm --nat -- apt-get update", "the public internet"],
    ["banger vm run --allow packages.example.com:443 ./repo -- npm ci", "these hosts and nothing else"],
    ["banger net log box --denied", "what was refused, and what to add"],
    ["banger net policy box --allow api.example.com:443", "add it, at once"],
    ["banger net check box api.example.com:443", "would it be allowed?"],
  ],
  {
    log: leaf("connections and names of a VM, allowed and denied", () => import("./commands/net/log.ts")),
    policy: leaf("print or change what a VM may reach", () => import("./commands/net/policy.ts")),
    check: leaf("would a connection be allowed", () => import("./commands/net/check.ts")),
    learn: leaf("find the rules that a command needs", () => import("./commands/net/learn.ts")),
    restart: leaf("give a VM its network back when it failed", () => import("./commands/net/restart.ts")),
  },
);

const network = group(
  "networks that VMs are in together",
  `VMs do not reach one another, unless they are put into one network: then each finds the others as <name>.vm and reaches all of their ports.
What a VM may reach outside of that is the group "net".`,
  [
    ["banger network create dev", "make one"],
    ["banger vm create --name db --join dev", "a VM in it"],
    ["banger vm run --join dev -- ping -c 1 db.vm", "another one, which knows the first as db.vm"],
  ],
  {
    create: leaf("make a network that VMs can join", () => import("./commands/network/create.ts")),
    list: leaf("list networks and who is in them", () => import("./commands/network/list.ts")),
    delete: leaf("remove a network that no VM is in", () => import("./commands/network/delete.ts")),
  },
  { ls: "list", rm: "delete" },
);

const secret = group(
  "values that VMs use and never have",
  `A VM gets a placeholder; the value is put in its place when a request leaves for a host that it is for. What runs in the VM, its disks and
its snapshots never have it, so nobody in there can take it along.`,
  [
    ["cat token.txt | banger secret set github --host api.github.com --env GITHUB_TOKEN", "keep one"],
    ["banger vm run --secret github -- make release", "a VM that may use it"],
  ],
  {
    set: leaf("make a secret or give it another value", () => import("./commands/secret/set.ts")),
    list: leaf("list secrets, without their values", () => import("./commands/secret/list.ts")),
    delete: leaf("forget a secret", () => import("./commands/secret/delete.ts")),
  },
  { ls: "list", rm: "delete" },
);

const registry = group(
  "logins to registries that images are pulled from",
  `Public images need no login. What docker has stored for a registry is used as well.`,
  [["banger registry login ghcr.io --username me", "keep a password for ghcr.io, after it was proven there"]],
  {
    login: leaf("prove and keep a password for a registry", () => import("./commands/registry/login.ts")),
    logout: leaf("forget the password for a registry", () => import("./commands/registry/logout.ts")),
  },
);

const template = group(
  "memory that VMs start from instead of booting",
  `A template is the memory of a guest that has booted and knows nothing yet: no image, no VM, no key is in it. One serves every VM with
the same kernel, CPUs and memory, of whatever image; they share it until they write to it.

You need not do anything: the first VM of a shape boots, its template is made in the background, and all later starts use it. Those
not used for the longest time go when they take more room than "templates.max_size" in config.toml. One that does not fit any
more (another QEMU, kernel or processor) is not used: the start is a boot then.`,
  [
    ["banger template list", "which there are"],
    ["banger template warm --vcpu 4 --memory 4G", "make one before its first VM"],
    ["banger template prune", "remove those that no start can use any more"],
    ["banger vm run --cold", "a boot in spite of them"],
  ],
  {
    list: leaf("list templates, last used first", () => import("./commands/template/list.ts")),
    show: leaf("show one template", () => import("./commands/template/show.ts")),
    warm: leaf("make the template of a shape of VM now", () => import("./commands/template/warm.ts")),
    prune: leaf("remove templates that are of no use", () => import("./commands/template/prune.ts")),
  },
  { ls: "list" },
);

const operation = group(
  "long work under way in the daemon",
  `Everything that takes long (create, start, fork, pull, import) is an operation of the daemon: it goes on when the command that
started it is gone, can be watched by any other, and can be cancelled. Its id also stands in error messages and in the log.`,
  [
    ["banger operation list", "what runs, and what ran lately"],
    ["banger operation watch op-3f9a1c2b", "follow one to its end"],
    ["banger operation cancel op-3f9a1c2b", "stop one; what it made is undone"],
  ],
  {
    list: leaf("list operations, newest first", () => import("./commands/operation/list.ts")),
    show: leaf("show one operation", () => import("./commands/operation/show.ts")),
    watch: leaf("follow an operation to its end", () => import("./commands/operation/watch.ts")),
    cancel: leaf("stop an operation and undo what it made", () => import("./commands/operation/cancel.ts")),
  },
  { ls: "list" },
);

const daemon = group(
  "the background process that owns the VMs",
  `The daemon starts by itself with the first command that needs it. VMs go on running when it stops, and are found again
when it starts.`,
  [
    ["banger daemon status", "is it there, which version, where is its log"],
    ["banger daemon stop", "stop it; the next command starts it again"],
  ],
  {
    status: leaf("version, process, paths and load of the daemon", () => import("./commands/daemon/status.ts")),
    stop: leaf("stop the daemon; running VMs go on", () => import("./commands/daemon/stop.ts")),
  },
);

const system = group(
  "room that banger takes on this host",
  `Everything that banger keeps lies below its state and cache directories. "df" says how much it is, "prune" removes what can be made anew.`,
  [
    ["banger system df", "where the room went"],
    ["banger system prune", "free what is of no use"],
  ],
  {
    df: leaf("room that VMs, images and caches take", () => import("./commands/system/df.ts")),
    prune: leaf("remove what can be made anew", () => import("./commands/system/prune.ts")),
  },
);

const config = group(
  "settings and where they come from",
  `Settings live in one file, config.toml. A flag on the command line wins over the file, the file over the built-in default.`,
  [["banger config show", "each setting, its value and where the value comes from"]],
  { show: leaf("each setting's value and origin", () => import("./commands/config/show.ts")) },
);

const internal = group(
  "plumbing that banger itself uses",
  "Used by banger's own ssh set-up and by shell completion. No promise is made about these.",
  [],
  {
    dial: leaf("connect stdin and stdout to a service of a VM", () => import("./commands/internal/dial.ts")),
    "host-key": leaf("print the host key of a VM", () => import("./commands/internal/host-key.ts")),
  },
  {},
  true,
);

const dns = group(
  "names of VMs: <vm>.vm",
  `Each VM has a name below .vm and a loopback address of its own, where the ports that are forwarded or published listen. The daemon
answers for these names on 127.0.0.1 (port 5354, or "port" below [dns] in config.toml), for no others, and asks nobody.

Programs find the names once this host's resolver knows whom to ask: "setup" says how. Without it, use the address that "vm show" prints,
or 127.0.0.1 with the host's port.`,
  [
    ["banger dns status", "are names answered, and where"],
    ["banger dns setup", "what this host's resolver needs"],
    ["curl http://web.vm:8000/", 'then, after "banger vm forward web 8000"'],
  ],
  {
    status: leaf("where names are answered, and whether they are", () => import("./commands/dns/status.ts")),
    setup: leaf("make this host's resolver ask for them", () => import("./commands/dns/setup.ts")),
  },
);

export const tree: Group = group(
  "disposable Linux machines on your own computer",
  `banger gives you a disposable Linux machine with one command: a microVM with its own kernel, root file system and disk.
Nothing in it can touch your files; you are root inside.

Start with "banger vm run". The first run pulls a default image and kernel (a minute or two), later VMs are ready in an instant.
"banger doctor" says whether this host is ready. Every command takes --help and --json.

Exit codes: 0 done; 1 failed; 2 wrong usage; 130 interrupted. "vm run", "vm exec" and "vm ssh" exit with the code of the
command that ran in the VM, and with 127 when the VM has no such command.`,
  [
    ["banger vm run", "make a VM and open a shell in it"],
    ["banger vm run ./repo -- make test", "run a repository's tests in a fresh VM"],
    ["banger vm run --rm -- sh -c 'id; uname -r'", "run a command in a VM that is removed afterwards"],
    ["banger vm fork sandbox --count 10", "ten VMs that go on from where one is"],
    ["banger ps", "list VMs"],
    ["banger doctor", "check this host"],
  ],
  {
    vm,
    ps: leaf("list running and paused VMs (same as vm list)", () => import("./commands/vm/list.ts")),
    cp: leaf("copy files between the host and a VM (same as vm cp)", () => import("./commands/vm/cp.ts")),
    image,
    kernel,
    net,
    network,
    secret,
    registry,
    template,
    operation,
    events: leaf("print every change of VMs as it happens", () => import("./commands/events.ts")),
    stats: leaf("how long VMs take to start, and with what", () => import("./commands/stats.ts")),
    "ssh-config": leaf("make ssh, scp, git and rsync reach <name>.vm", () => import("./commands/ssh-config.ts")),
    system,
    dns,
    daemon,
    config,
    doctor: leaf("check this host and banger's own state", () => import("./commands/doctor.ts")),
    completion: leaf("print the shell completion script", () => import("./commands/completion.ts")),
    version: leaf("print the version", () => import("./commands/version.ts")),
    internal,
    __complete: leaf("complete a command line", () => import("./commands/complete.ts"), true),
  },
);

export interface Route {
  /** Names as they stand in the tree, aliases resolved. */
  path: string[];
  /** How many words of the command line the path took. */
  length: number;
  target: Leaf | Group;
}

/** Follows the words as far as they name groups and commands. */
export function findRoute(words: readonly string[]): Route {
  const path: string[] = [];
  let target: Leaf | Group = tree;
  for (const word of words) {
    if (target.kind === "leaf") break;
    const name: string = Object.hasOwn(target.aliases, word) ? (target.aliases[word] as string) : word;
    if (!Object.hasOwn(target.entries, name)) break;
    target = target.entries[name] as Leaf | Group;
    path.push(name);
  }
  return { path, length: path.length, target };
}
