// The templates on this host: which there are, which are being restored, and which have to go to make room. One directory each,
// published whole; whatever else lies there was left by a daemon that is gone.
import { lstat, readdir, utimes } from "node:fs/promises";
import { basename, join } from "node:path";
import type { TemplateRecord } from "../../api/records.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";
import { ensureDirectory, publish, removeInside } from "../../lib/files.ts";
import type { Logger } from "../../lib/log.ts";
import { spareOf } from "../../vmm/spare-memory.ts";
import type { TemplateUse } from "../context.ts";
import { captureFiles, manifestName, readTemplate, recipeFiles, type TemplateOnDisk } from "./files.ts";

interface Entry extends TemplateOnDisk {
  /** Starts that restore it now. */
  uses: number;
  /** Copies of it that are being made; they end when it is to go. */
  holds: number;
  /** Bytes that its spare copy takes. */
  spareBytes: number;
  /** For them: aborted when it is to go. */
  removed: AbortController;
  /** Set when it is to go: no start takes it any more. Resolved when its files are gone. */
  removal: PromiseWithResolvers<void> | undefined;
}

/** Made by `openTemplateStore`. */
export class TemplateStore {
  readonly #directory: string;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();

  constructor(directory: string, log: Logger) {
    this.#directory = directory;
    this.#log = log;
  }

  /** Last used first. */
  list(): TemplateRecord[] {
    return this.#usable()
      .toSorted((a, b) => b.lastUsedAt - a.lastUsedAt)
      .map(toRecord);
  }

  get(id: string): TemplateRecord | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined || entry.removal !== undefined ? undefined : toRecord(entry);
  }

  /** Its files stay until the use is disposed of. Undefined when there is none. */
  take(id: string): TemplateUse | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.removal !== undefined) return undefined;
    entry.lastUsedAt = Date.now();
    const now = new Date(entry.lastUsedAt);
    // For the next daemon only: nobody waits for it.
    utimes(join(this.#pathOf(id), manifestName), now, now).catch(() => {});
    return this.#use(entry, "uses");
  }

  /** As `take`, but it does not count as used. `removed` is aborted when it is to go, which waits for the end of this. */
  hold(id: string): (TemplateUse & { removed: AbortSignal; memoryMib: number }) | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.removal !== undefined) return undefined;
    return { ...this.#use(entry, "holds"), removed: entry.removed.signal, memoryMib: entry.manifest.memoryMib };
  }

  /** Looks whether a template has a spare copy now, and how large it is. */
  async countSpare(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    const spare = spareOf(captureFiles(this.#pathOf(id)).memoryFile);
    entry.spareBytes = await lstat(spare).then(
      ({ blocks }) => blocks * 512,
      () => 0,
    );
  }

  /** Whether all templates take at most `maxBytes` when this one gets a spare copy: none has to go for that. */
  async hasRoomForSpare(id: string, maxBytes: number): Promise<boolean> {
    await Promise.all(this.#usable().map(({ manifest }) => this.countSpare(manifest.id)));
    const wanted = this.#entries.get(id)?.usedBytes ?? 0;
    return this.#usable().reduce((bytes, entry) => bytes + takes(entry), wanted) <= maxBytes;
  }

  /**
   * Publishes a sealed directory (src/vm/template/files.ts) in the place of an older one with the same id, and removes the least
   * recently used others until all take at most `maxBytes`. Throws `template.failed` when it is larger by itself.
   */
  async add(staging: string, id: string, maxBytes: number): Promise<TemplateRecord> {
    const found = await readTemplate(staging, id);
    if (found === undefined) throw new BangerError("template.failed", `"${staging}" holds no template ${id}`);
    if (found.usedBytes > maxBytes) {
      throw new BangerError(
        "template.failed",
        `the template takes ${formatBytes(found.usedBytes)}, and all together may take ${formatBytes(maxBytes)} (templates.max_size)`,
        { hint: "banger config show" },
      );
    }
    await this.remove(id);
    await publish(staging, this.#pathOf(id));
    crashPoint("template.published");
    const entry = newEntry(found);
    this.#entries.set(id, entry);
    await this.makeRoom(maxBytes, id);
    return toRecord(entry);
  }

  /** Resolves when it is gone: for one that is being restored, after that. Idempotent. */
  async remove(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    if (entry.removal === undefined) {
      entry.removal = Promise.withResolvers();
      entry.removed.abort(new Error("the template is removed"));
      if (entry.uses + entry.holds === 0) void this.#erase(entry);
    }
    await entry.removal.promise;
  }

  /** Removes what is no template, and templates that `keep` does not want. */
  async sweep(keep: (template: TemplateOnDisk) => boolean): Promise<void> {
    await ensureDirectory(this.#directory);
    for (const name of await readdir(this.#directory)) {
      const found = /^[0-9a-f]{64}$/.test(name) ? await readTemplate(this.#pathOf(name), name) : undefined;
      if (found !== undefined && keep(found)) {
        await this.#removeSpares(name);
        this.#entries.set(name, newEntry(found));
        continue;
      }
      this.#log.info("removing the remains of a memory template", { entry: name });
      await this.#removeFiles(name);
    }
  }

  /** Removes spare copies, and then the least recently used templates but `newest`, until all take at most `maxBytes`. */
  async makeRoom(maxBytes: number, newest?: string): Promise<void> {
    const oldestFirst = this.#usable().toSorted((a, b) => a.lastUsedAt - b.lastUsedAt);
    await Promise.all(oldestFirst.map(({ manifest }) => this.countSpare(manifest.id)));
    let sum = oldestFirst.reduce((bytes, entry) => bytes + takes(entry), 0);
    for (const entry of oldestFirst) {
      if (sum <= maxBytes) return;
      sum -= entry.spareBytes;
      await this.#removeSpares(entry.manifest.id);
      entry.spareBytes = 0;
    }
    for (const entry of oldestFirst) {
      if (sum <= maxBytes) return;
      if (entry.uses > 0 || entry.manifest.id === newest) continue;
      this.#log.info("removing a memory template to make room", { template: entry.manifest.id });
      sum -= entry.usedBytes;
      await this.remove(entry.manifest.id);
    }
  }

  #use(entry: Entry, as: "uses" | "holds"): TemplateUse {
    const { id, root } = entry.manifest;
    entry[as] += 1;
    let held = true;
    const directory = this.#pathOf(id);
    return {
      id,
      capture: captureFiles(directory),
      ...(root === null ? {} : { disks: recipeFiles(directory) }),
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        entry[as] -= 1;
        if (entry.uses + entry.holds === 0 && entry.removal !== undefined) void this.#erase(entry);
      },
    };
  }

  /** Spare copies of former daemons are not believed in: nobody flushed them to the disk. */
  async #removeSpares(id: string): Promise<void> {
    const directory = this.#pathOf(id);
    const spare = basename(spareOf(captureFiles(directory).memoryFile));
    for (const name of await readdir(directory)) {
      if (name === spare || (name.startsWith(`${spare}.`) && name.endsWith(".tmp"))) {
        await this.#removeFiles(join(id, name));
      }
    }
  }

  #usable(): Entry[] {
    return [...this.#entries.values()].filter((entry) => entry.removal === undefined);
  }

  async #erase(entry: Entry): Promise<void> {
    const { id } = entry.manifest;
    await this.#removeFiles(id);
    if (this.#entries.get(id) === entry) this.#entries.delete(id);
    entry.removal?.resolve();
  }

  /** What cannot be removed now is tried again by the next daemon. */
  async #removeFiles(name: string): Promise<void> {
    try {
      await removeInside(this.#directory, join(this.#directory, name));
    } catch (error) {
      this.#log.warn("a memory template could not be removed", { entry: name, error });
    }
  }

  #pathOf(id: string): string {
    return join(this.#directory, id);
  }
}

/** Opens the store, without what is no template and without those that `keep` does not want. */
export async function openTemplateStore(options: {
  directory: string;
  keep: (template: TemplateOnDisk) => boolean;
  log: Logger;
}): Promise<TemplateStore> {
  const store = new TemplateStore(options.directory, options.log);
  await store.sweep(options.keep);
  return store;
}

const newEntry = (found: TemplateOnDisk): Entry => ({
  ...found,
  uses: 0,
  holds: 0,
  spareBytes: 0,
  removed: new AbortController(),
  removal: undefined,
});

/** Bytes of a template with its spare copy. */
const takes = ({ usedBytes, spareBytes }: Entry): number => usedBytes + spareBytes;

function toRecord(entry: Entry): TemplateRecord {
  return { ...entry.manifest, usedBytes: takes(entry), lastUsedAt: entry.lastUsedAt };
}
