// What a daemon is killed in the middle of: verbs, what they work on, and the points that they pass (src/lib/crash-point.ts) in
// their order. A verb that gets as far as a later point has got over its death at an earlier one.
import { join } from "node:path";
import { makeImage, writeLayoutFiles } from "../../src/image/oci/testdata/layout.ts";
import { mib } from "../../src/lib/units.ts";
import type { Client } from "../../src/sdk/client.ts";
import { type CrashHome, smallSpec } from "./crash-home.ts";
import { workspaceScenarios } from "./crash-workspace.ts";

export interface CrashScenario {
  name: string;
  /** `<name>` or `<name>#<n>`. */
  points: readonly string[];
  /** Brings what the verb works on into the state that it needs, by ordinary verbs, whatever a killed daemon has left. */
  prepare: (home: CrashHome) => Promise<unknown>;
  verb: (client: Client, home: CrashHome) => Promise<unknown>;
}

/** Snapshots of one VM from which on a new one has its layers merged (src/vm/snapshot/compact.ts), and some more. */
const manySnapshots = 14;

const hasSnapshot = async ({ client }: CrashHome, name: string) =>
  (await client.call("snapshot.list", {})).snapshots.some((snapshot) => snapshot.name === name);

async function withoutSnapshot(home: CrashHome, name: string): Promise<void> {
  if (await hasSnapshot(home, name)) await home.client.call("snapshot.delete", { snapshot: name });
}

/** A snapshot of the running VM "box", with its memory. */
async function withSnapshot(home: CrashHome, name: string): Promise<void> {
  await home.ensure("box", "running");
  if (!(await hasSnapshot(home, name))) await home.client.operate("snapshot.create", { vm: "box", name });
}

/** A VM that never ran. */
async function withHusk({ client, ...home }: Pick<CrashHome, "client" | "find">): Promise<void> {
  if ((await home.find("husk")) === undefined) {
    await client.operate("vm.create", { name: "husk", ...smallSpec, start: false });
  }
}

/** As `smallSpec`, of a size for which the seed has no template. */
const ofImage = { ...smallSpec, image: "debian-bookworm", memoryMib: 160 };

const husk = (home: CrashHome) => withHusk({ client: home.client, find: (name) => home.find(name) });

/** `directory`: for files of the test's own, outside of the home. */
export function crashScenarios(directory: string): CrashScenario[] {
  const box = (state: "running" | "stopped" | "paused") => (home: CrashHome) => home.ensure("box", state);
  const layout = join(directory, "layout");
  writeLayoutFiles(layout, [{ image: makeImage([[{ path: "file", data: "content" }]]), name: "app" }]);
  const importApp = (client: Client) => client.operate("image.import", { path: layout, name: "app" });
  const images = async ({ client }: CrashHome) => (await client.call("image.list", {})).images;
  const app = async (home: CrashHome) => (await images(home)).find(({ name }) => name === "app" || name === "tagged");
  const withoutApp = async (home: CrashHome) => {
    const found = await app(home);
    if (found !== undefined) await home.client.call("image.delete", { image: found.id });
  };
  const withApp = async (home: CrashHome) => {
    if ((await app(home)) === undefined) await importApp(home.client);
  };
  const socket = join(directory, "box.sock");
  const unforward = async (home: CrashHome) => {
    await home.ensure("box", "running");
    const { forwards } = await home.client.call("vm.forwards", { vm: "box" });
    // Those at its own address go with them.
    const remove = forwards.map(({ listen }) => listen).filter((listen) => /^(?:\/|127\.0\.0\.1:)/.test(listen));
    if (remove.length > 0) await home.client.call("vm.unforward", { vm: "box", remove });
  };
  const forward = (client: Client) =>
    client.call("vm.forward", { vm: "box", add: [{ listen: socket, target: "8080" }, { target: "8081" }] });

  const setToken = (client: Client, value: string) =>
    client.call("secret.set", { name: "token", hosts: ["api.example"], env: "TOKEN", value });
  const withNetwork = async ({ client }: CrashHome) => {
    await client.call("network.create", { name: "dev" });
    await setToken(client, "first");
  };
  /** With a secret, and in a network with others. */
  const wired = (state: "running" | "stopped") => async (home: CrashHome) => {
    await withNetwork(home);
    const network = { use: "locked", join: "dev", secrets: ["token"] };
    if ((await home.find("wired")) === undefined) {
      await home.client.operate("vm.create", { name: "wired", ...smallSpec, network });
    }
    await home.ensure("wired", state);
    await home.client.call("net.set", { vm: "wired", change: { use: "locked" } });
  };

  return [
    {
      name: "create",
      points: [
        ...["create.ports-reserved", "create.directory-made", "create.recorded", "start.disks-made", "start.prepared"],
        ...["start.spawned", "start.identity-written", "start.loaded", "start.cpus-run", "start.configured"],
        ...["start.running", "create.started"],
      ],
      prepare: (home) => home.remove("new"),
      verb: (client) => client.operate("vm.create", { name: "new", ...smallSpec, publish: [{ target: "80" }] }),
    },
    {
      name: "delete, of a VM that runs",
      points: ["delete.ended"],
      prepare: (home) => home.ensure("new", "running"),
      verb: (client) => client.operate("vm.delete", { vm: "new" }),
    },
    {
      name: "start",
      points: ["start.recorded", "start.spawned", "start.cpus-run"],
      prepare: box("stopped"),
      verb: (client) => client.operate("vm.start", { vm: "box" }),
    },
    {
      name: "start by a boot",
      points: ["start.greeted"],
      prepare: box("stopped"),
      verb: (client) => client.operate("vm.start", { vm: "box", cold: true }),
    },
    {
      name: "stop",
      points: [
        ...["stop.recorded", "stop.asked", "stop.powered-off", "stop.memory-spent", "stop.memory-removed"],
        "stop.done",
      ],
      prepare: box("running"),
      verb: (client) => client.operate("vm.stop", { vm: "box" }),
    },
    {
      name: "kill, of a VM that is paused",
      points: ["stop.memory-spent"],
      prepare: box("paused"),
      verb: (client) => client.call("vm.kill", { vm: "box" }),
    },
    {
      name: "set, at rest",
      points: ["set.disk-grown", "set.recorded"],
      prepare: box("stopped"),
      verb: grow,
    },
    {
      name: "set, while it runs",
      points: ["set.disk-grown", "set.file-systems-grown"],
      prepare: box("running"),
      verb: grow,
    },
    {
      name: "rename",
      points: ["rename.recorded"],
      prepare: async (home) => {
        if ((await home.find("other")) === undefined) await home.ensure("box", "stopped");
        else await home.client.call("vm.rename", { vm: "other", name: "box" });
      },
      verb: async (client) => {
        await client.call("vm.rename", { vm: "box", name: "other" });
        await client.call("vm.rename", { vm: "other", name: "box" });
      },
    },
    {
      name: "label",
      points: ["label.recorded"],
      prepare: async (home) => {
        const other = await home.find("other");
        if (other !== undefined) await home.client.call("vm.rename", { vm: "other", name: "box" });
      },
      verb: (client) => client.call("vm.label", { vm: "box", set: { colour: "red" } }),
    },
    {
      name: "pause in memory",
      points: ["pause.frozen-in-memory", "pause.stopped-in-memory", "pause.recorded-in-memory"],
      prepare: box("running"),
      verb: (client) => client.operate("vm.pause", { vm: "box", keepRunning: true }),
    },
    {
      name: "resume in memory",
      points: ["resume.cpus-continued", "resume.processes-continued"],
      prepare: async (home) => {
        await home.ensure("box", "running");
        await home.client.operate("vm.pause", { vm: "box", keepRunning: true });
      },
      verb: (client) => client.operate("vm.resume", { vm: "box" }),
    },
    {
      name: "pause",
      points: [
        ...["pause.staged", "pause.capture-begun", "pause.frozen", "pause.captured", "pause.flushed"],
        ...["pause.published", "pause.ended"],
      ],
      prepare: box("running"),
      verb: (client) => client.operate("vm.pause", { vm: "box" }),
    },
    {
      name: "resume",
      points: [
        "start.loaded",
        "resume.memory-spent",
        "resume.recorded",
        "start.cpus-run",
        "resume.woken",
        "resume.running",
      ],
      prepare: box("paused"),
      verb: (client) => client.operate("vm.resume", { vm: "box" }),
    },
    {
      name: "snapshot, while it runs",
      points: [
        ...["snapshot.recorded", "snapshot.directory-made", "snapshot.disk-linked", "snapshot.layer-made#2"],
        ...["snapshot.layers-made", "snapshot.disks-named", "snapshot.frozen", "snapshot.stopped", "snapshot.captured"],
        ...["snapshot.cpus-continued", "snapshot.going-on", "snapshot.old-disk-removed", "snapshot.taken"],
        "snapshot.flushed",
      ],
      prepare: async (home) => {
        await home.ensure("box", "running");
        await withoutSnapshot(home, "shot");
      },
      verb: (client) => client.operate("snapshot.create", { vm: "box", name: "shot" }),
    },
    {
      name: "fork",
      points: [
        "fork.directory-made",
        "fork.files-made",
        "fork.recorded",
        "fork.thawed",
        "fork.running",
        "fork.all-running",
        "fork.kept",
      ],
      prepare: async (home) => {
        await home.remove("twin");
        await withSnapshot(home, "base");
      },
      verb: (client) => client.operate("vm.fork", { source: "base", name: "twin" }),
    },
    {
      // Its VMM is there before the source stands still, and is given the memory of that.
      name: "fork, of a VM that runs",
      points: [
        ...["start.identity-written", "snapshot.frozen", "snapshot.captured", "start.loaded", "fork.thawed"],
        ...["snapshot.going-on", "fork.running"],
      ],
      prepare: async (home) => {
        await home.remove("twin");
        await home.ensure("box", "running");
      },
      verb: (client) => client.operate("vm.fork", { source: "box", name: "twin" }),
    },
    {
      name: "create from a snapshot",
      points: ["create.goes-on"],
      prepare: async (home) => {
        await home.remove("twin");
        await withSnapshot(home, "base");
      },
      verb: (client) => client.operate("vm.create", { from: "base", name: "twin" }),
    },
    {
      name: "restore, of a VM that runs",
      points: ["stop.ended"],
      prepare: async (home) => {
        await home.remove("twin");
        await withSnapshot(home, "base");
      },
      verb: (client) => client.operate("vm.restore", { vm: "box", snapshot: "base" }),
    },
    {
      name: "delete a snapshot",
      points: ["snapshot.name-removed", "sweep.memory-removed"],
      prepare: async (home) => {
        await home.remove("twin");
        await withSnapshot(home, "base");
      },
      verb: (client) => client.call("snapshot.delete", { snapshot: "base" }),
    },
    {
      name: "snapshot, at rest",
      points: ["snapshot.memory-linked", "snapshot.layers-made-at-rest", "snapshot.disks-named-at-rest"],
      prepare: async (home) => {
        await husk(home);
        await withoutSnapshot(home, "shot");
      },
      verb: (client) => client.operate("snapshot.create", { vm: "husk", name: "shot" }),
    },
    {
      name: "restore",
      points: ["restore.layers-made", "restore.ended", "restore.disks-named", "restore.cleaned"],
      prepare: async (home) => {
        await husk(home);
        if (!(await hasSnapshot(home, "shot")))
          await home.client.operate("snapshot.create", { vm: "husk", name: "shot" });
      },
      verb: (client) => client.operate("vm.restore", { vm: "husk", snapshot: "shot" }),
    },
    {
      name: "merge layers",
      points: ["compact.whole-made", "compact.layer-staged", "compact.layer-replaced", "compact.recorded"],
      prepare: husk,
      verb: async (client) => {
        for (let count = 0; count < manySnapshots; count++) await client.operate("snapshot.create", { vm: "husk" });
      },
    },
    {
      name: "merge layers of a VM that runs",
      points: ["compact.machine-rebased"],
      prepare: async (home) => {
        await home.ensure("box", "running");
        await withoutSnapshot(home, "passing");
      },
      verb: async (client) => {
        for (let count = 0; count < manySnapshots; count++) {
          const { id } = await client.operate("snapshot.create", { vm: "box", name: "passing" });
          await client.call("snapshot.delete", { snapshot: id });
        }
      },
    },
    {
      name: "delete, with the snapshots that only it needs",
      points: ["delete.unrecorded", "delete.files-removed", "sweep.unrecorded", "sweep.files-removed", "delete.swept"],
      prepare: async (home) => {
        await husk(home);
        await home.client.operate("snapshot.create", { vm: "husk" });
        const { snapshots } = await home.client.call("snapshot.list", { vm: "husk" });
        for (const { id } of snapshots) await home.client.call("snapshot.delete", { snapshot: id });
      },
      verb: (client) => client.operate("vm.delete", { vm: "husk" }),
    },
    {
      name: "forward",
      points: ["forward.bound", "forward.bound#2", "forward.recorded"],
      prepare: unforward,
      verb: forward,
    },
    {
      name: "remove a forward",
      points: ["forward.unrecorded"],
      prepare: async (home) => {
        await unforward(home);
        await forward(home.client);
      },
      verb: (client) => client.call("vm.unforward", { vm: "box", remove: [socket] }),
    },
    {
      name: "start with a network",
      points: ["network.configured", "network.spawned", "network.ready", "network.attached"],
      prepare: wired("stopped"),
      verb: (client) => client.operate("vm.start", { vm: "wired" }),
    },
    {
      name: "stop with a network",
      points: ["network.ended"],
      prepare: wired("running"),
      verb: (client) => client.operate("vm.stop", { vm: "wired" }),
    },
    {
      name: "another policy",
      points: ["network.changed", "network.recorded"],
      prepare: wired("running"),
      verb: (client) => client.call("net.set", { vm: "wired", change: { use: "balanced" } }),
    },
    {
      name: "another value of a secret",
      points: ["secret.stored", "secret.told"],
      prepare: wired("running"),
      verb: (client) => setToken(client, "second"),
    },
    {
      name: "a network that comes and goes",
      points: ["network.ready", "network.changed", "network.ended"],
      prepare: async (home) => {
        await wired("running")(home);
        await home.client.call("net.set", { vm: "wired", change: { use: "none" } });
      },
      verb: async (client) => {
        await client.call("net.set", { vm: "wired", change: { use: "locked" } });
        await client.call("net.set", { vm: "wired", change: { use: "none" } });
        await client.operate("vm.delete", { vm: "wired" });
      },
    },
    {
      name: "secrets and networks that nobody uses any more",
      points: ["secret.removed", "peers.removed", "peers.recorded"],
      prepare: async (home) => {
        await home.remove("wired");
        await withNetwork(home);
      },
      verb: async (client) => {
        await client.call("secret.delete", { name: "token" });
        await client.call("network.delete", { name: "dev" });
        await client.call("network.create", { name: "dev" });
      },
    },
    {
      name: "import an image",
      points: [
        ...["image.unpacked", "image.documents-written", "image.name-freed", "store.manifest-written"],
        ...["store.published", "store.old-displaced", "store.recorded"],
      ],
      prepare: withoutApp,
      verb: importApp,
    },
    {
      name: "tag an image",
      points: ["image.names-written"],
      prepare: async (home) => {
        await withoutApp(home);
        await withApp(home);
      },
      verb: (client) => client.call("image.tag", { image: "app", name: "tagged", force: true }),
    },
    {
      name: "delete an image",
      points: ["store.unrecorded", "store.files-removed"],
      prepare: async (home) => {
        await withoutApp(home);
        await withApp(home);
      },
      verb: (client) => client.call("image.delete", { image: "app" }),
    },
    {
      name: "make a template",
      points: ["template.captured", "template.machine-removed", "template.sealed", "template.published"],
      // The last point leaves it whole.
      prepare: async () => {},
      verb: (client) => client.operate("template.warm", { memoryMib: 128, vcpus: 1 }),
    },
    {
      name: "make a template of an image",
      points: ["template.assembled", "template.captured", "template.published"],
      prepare: async (home) => void (await home.client.operate("template.warm", { memoryMib: 160, vcpus: 1 })),
      verb: (client) => client.operate("template.warm", ofImage),
    },
    {
      name: "create from a template of an image",
      points: ["start.disks-made", "start.loaded", "start.cpus-run", "start.configured"],
      prepare: async (home) => {
        await home.remove("new");
        await home.client.operate("template.warm", ofImage);
      },
      verb: (client) => client.operate("vm.create", { name: "new", ...ofImage }),
    },
    ...workspaceScenarios(directory),
  ];
}

/** Another MiB for the VM's disk. */
async function grow(client: Client): Promise<void> {
  const { spec } = await client.call("vm.show", { vm: "box" });
  await client.operate("vm.set", { vm: "box", diskBytes: spec.diskBytes + mib });
}
