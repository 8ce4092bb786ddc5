// What takes room on this host, and what of it can go: sums over all stores, and their removals in one call.
import { lstatSync, readdirSync, rmSync, statfsSync } from "node:fs";
import { basename, join } from "node:path";
import type { DiskUse } from "../api/system-methods.ts";
import type { ImageRecord, KernelRecord, VmRecord } from "../api/records.ts";
import { vmPaths, type Paths } from "../config/paths.ts";
import type { Progress } from "../lib/progress.ts";
import type { Services } from "./services.ts";

type Kind = DiskUse["kind"];
type Stores = Pick<Services, "vms" | "snapshots" | "images" | "kernels" | "templates">;

export interface Removed {
  kind: Kind;
  names: string[];
  freedBytes: number;
}

/** A registered image is a file of the user's, which is never removed and is no room that banger takes. */
const isOurs = (image: ImageRecord) => !image.source.startsWith("file:");
const idle: ReadonlySet<VmRecord["state"]> = new Set(["created", "stopped", "broken"]);

export class DiskUseOf {
  readonly #stores: Stores;
  readonly #paths: Paths;

  constructor(stores: Stores, paths: Paths) {
    this.#stores = stores;
    this.#paths = paths;
  }

  async list(): Promise<DiskUse[]> {
    const { vms, snapshots, templates, images } = this.#stores;
    const all = vms.list();
    const kept = snapshots.list();
    const made = templates.list();
    const { templates: useless } = await templates.prune({ all: false, dryRun: true });
    const blobs = await images.cache.list();
    const logs = this.#logs(all);
    const row = (kind: Kind, items: readonly Item[]): DiskUse => ({
      kind,
      count: items.length,
      inUse: items.filter(({ used }) => used).length,
      usedBytes: sum(items),
      freeableBytes: sum(items.filter(({ used }) => !used)),
    });
    return [
      // Removing VMs is never a clean-up: their disks are the user's.
      {
        ...row(
          "vms",
          all.map((vm) => ({ bytes: vm.diskUsedBytes, used: !idle.has(vm.state) })),
        ),
        freeableBytes: 0,
      },
      {
        ...row(
          "snapshots",
          kept.map((one) => ({ bytes: one.usedBytes, used: one.usedBy.length > 0 })),
        ),
        freeableBytes: 0,
      },
      row("images", this.#images()),
      row("kernels", this.#kernels()),
      row(
        "templates",
        made.map(({ id, usedBytes }) => ({ bytes: usedBytes, used: !useless.some((one) => one.id === id) })),
      ),
      row(
        "blobs",
        blobs.map((blob) => ({ bytes: blob.sizeBytes, used: blob.inUse })),
      ),
      row(
        "logs",
        logs.map(({ bytes, live }) => ({ bytes, used: live })),
      ),
    ];
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.#paths.stateDir);
    return bavail * bsize;
  }

  /** Cancelled between two removals. What another call needs meanwhile is left by the store that it belongs to. */
  async prune(options: { all: boolean; dryRun: boolean }, progress: Progress): Promise<Removed[]> {
    const { dryRun } = options;
    const { templates, images, kernels } = this.#stores;
    const removed: Removed[] = [];
    if (options.all) {
      progress.stage("images");
      removed.push(await each("images", this.#images(), dryRun, progress, (id) => images.delete(id)));
      progress.stage("kernels");
      removed.push(await each("kernels", this.#kernels(), dryRun, progress, (id) => kernels.delete(id)));
    }
    progress.signal.throwIfAborted();
    progress.stage("templates");
    const pruned = await templates.prune({ all: false, dryRun });
    const names = pruned.templates.map(({ id }) => id.slice(0, 12));
    removed.push({ kind: "templates", names, freedBytes: pruned.freedBytes });
    progress.signal.throwIfAborted();
    progress.stage("blobs");
    const blobs = await images.cache.prune({ dryRun });
    removed.push({ kind: "blobs", names: blobs.blobs === 0 ? [] : [`${blobs.blobs} blobs`], freedBytes: blobs.bytes });
    const old = this.#logs(this.#stores.vms.list()).filter(({ live }) => !live);
    if (!dryRun) for (const { path } of old) rmSync(path, { force: true });
    removed.push({ kind: "logs", names: old.map(({ path }) => basename(path)), freedBytes: sum(old) });
    return removed.filter((one) => one.names.length > 0);
  }

  #images(): Item[] {
    return this.#stores.images.list().filter(isOurs).map(this.#item("image"));
  }

  #kernels(): Item[] {
    return this.#stores.kernels.list().map(this.#item("kernel"));
  }

  #item(kind: "image" | "kernel"): (record: ImageRecord | KernelRecord) => Item {
    const users = [...this.#stores.vms.list(), ...this.#stores.snapshots.list()].map((one) => one[kind].id);
    const used = new Set(users);
    return (record) => ({
      id: record.id,
      name: record.name,
      bytes: "usedBytes" in record ? record.usedBytes : record.sizeBytes,
      used: used.has(record.id),
    });
  }

  /** The daemon's logs, and the consoles of VMs. Those that are still written to are live. */
  #logs(vms: readonly VmRecord[]): { path: string; bytes: number; live: boolean }[] {
    const { stateDir, daemonLog } = this.#paths;
    const ofDaemon = readdirSync(stateDir)
      .filter((name) => name.startsWith(basename(daemonLog)))
      .map((name) => join(stateDir, name));
    const ofVms = vms.flatMap(({ id }) => {
      const { consoleLog, vmmLog } = vmPaths(this.#paths, id);
      return [consoleLog, vmmLog];
    });
    return [...ofDaemon, ...ofVms].flatMap((path) => {
      const stat = lstatSync(path, { throwIfNoEntry: false });
      // The console of a stopped VM may be why it stopped: it goes with its VM only.
      return stat === undefined ? [] : [{ path, bytes: stat.blocks * 512, live: !path.endsWith(".1") }];
    });
  }
}

interface Item {
  id?: string;
  name?: string;
  bytes: number;
  used: boolean;
}

async function each(
  kind: Kind,
  items: readonly Item[],
  dryRun: boolean,
  progress: Progress,
  remove: (id: string) => Promise<void>,
): Promise<Removed> {
  const names: string[] = [];
  let freedBytes = 0;
  for (const { id = "", name = "", bytes, used } of items) {
    if (used) continue;
    progress.signal.throwIfAborted();
    if (!dryRun) await remove(id);
    names.push(name);
    freedBytes += bytes;
  }
  return { kind, names, freedBytes };
}

const sum = (items: readonly { bytes: number }[]) => items.reduce((total, { bytes }) => total + bytes, 0);
