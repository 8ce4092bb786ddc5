// Published, content-addressed directories with names: what the image store and the kernel store have in common.
// The directory <root>/<id> with its manifest.json is the truth about content; the table's row gives the name.
import { renameSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "./errors.ts";
import { ensureDirectory, publish, removeInside, syncDirectory, writeFileAtomic } from "./files.ts";
import type { Logger } from "./log.ts";
import { KeyedMutex } from "./mutex.ts";
import { crashPoint } from "./crash-point.ts";

export interface ArtifactRow {
  id: string;
  name: string;
  /** JSON text, the same as in manifest.json. */
  manifest: string;
  /** Milliseconds since 1970. */
  createdAt: number;
}

/** What the store needs of the database. Each call is one transaction. */
export interface ArtifactTable {
  list(): ArtifactRow[];
  insert(row: ArtifactRow): void;
  rename(id: string, name: string): void;
  /** Gives it another manifest. */
  describe(id: string, manifest: string): void;
  /** Throws when a VM's row refers to it. */
  remove(id: string): unknown;
}

export interface ArtifactStoreOptions {
  kind: "image" | "kernel";
  /** Owned by the store: directories that no row names are removed when it opens. */
  directory: string;
  table: ArtifactTable;
  /** Names of the VMs that use an artifact. */
  usedBy: (id: string) => readonly string[];
  /** Names of the snapshots that use an artifact. */
  snapshotsOf?: (id: string) => readonly string[];
  /** Throws when a name is none that such a thing may have. Default: 1 to 63 of a-z, 0-9 and "-". */
  checkName?: (name: string) => void;
  /** Names that can be pulled, for hints. */
  catalog: () => readonly string[];
  log: Logger;
}

const neverAborted = new AbortController().signal;
/** Names without a meaning of their own; also the only ones whose beginning may stand for them. */
export const namePattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** See the file's comment. Made by `openArtifactStore`. */
export class ArtifactStore {
  readonly #options: ArtifactStoreOptions;
  /** Publishing and removing are short and one at a time: two may bring the same content, or want the same name. */
  readonly #changes = new KeyedMutex();

  constructor(options: ArtifactStoreOptions) {
    this.#options = options;
  }

  /** All rows, by name. */
  list(): ArtifactRow[] {
    return this.#options.table.list().toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Directory of a published artifact. */
  directoryOf(id: string): string {
    return join(this.#options.directory, id);
  }

  /** A row by name, id, or unambiguous prefix of either. */
  resolve(reference: string): ArtifactRow {
    const { kind } = this.#options;
    const rows = this.list();
    const exact = rows.find((row) => row.name === reference || row.id === reference);
    if (exact !== undefined) return exact;
    const found = reference === "" ? [] : rows.filter((row) => isBeginning(reference, row));
    const [only] = found;
    if (only !== undefined && found.length === 1) return only;
    if (found.length > 1) {
      const names = found.map((row) => `${row.name} (${row.id.slice(0, 12)})`).join(", ");
      throw new BangerError(`${kind}.ambiguous`, `"${reference}" means more than one ${kind}: ${names}`, {
        hint: `banger ${kind} list`,
      });
    }
    const have =
      rows.length === 0 ? `there are no ${kind}s yet` : `local are ${rows.map((row) => row.name).join(", ")}`;
    const pullable = this.#options.catalog().includes(reference);
    throw new BangerError(`${kind}.not-found`, `no ${kind} "${reference}": ${have}`, {
      hint: pullable ? `banger ${kind} pull ${reference}` : `banger ${kind} list  # or: banger ${kind} catalog`,
    });
  }

  /** Throws when the name is malformed, or taken and `force` is not given. To be asked before expensive work. */
  checkName(name: string, force: boolean): void {
    const { kind } = this.#options;
    if (this.#options.checkName !== undefined) this.#options.checkName(name);
    else if (!namePattern.test(name)) {
      throw new BangerError("request.invalid", `${kind} name "${name}" is not valid: use a-z, 0-9 and "-" (1 to 63)`);
    }
    if (!force && this.list().some((row) => row.name === name)) {
      throw new BangerError(
        `${kind}.exists`,
        `there is already ${kind === "image" ? "an image" : "a kernel"} "${name}"`,
        {
          hint: `banger ${kind} list  # or repeat with --force to replace it`,
        },
      );
    }
  }

  /**
   * Publishes a finished staging directory (below the store's directory, without its manifest.json) under an id and a
   * name. With `force` the name moves: the artifact that had it is removed, or goes on under the first twelve digits of
   * its id while VMs use it. Content that is stored already is not stored twice: it gets the new name when `force` is given.
   */
  async add(staging: string, row: ArtifactRow, force: boolean): Promise<ArtifactRow> {
    const { kind, table, directory } = this.#options;
    using _ = await this.#changes.acquire("all", neverAborted);
    this.checkName(row.name, force);
    const same = this.list().find((other) => other.id === row.id);
    if (same !== undefined && !force) {
      throw new BangerError(`${kind}.exists`, `the same content is already stored as ${kind} "${same.name}"`, {
        hint: `repeat with --force to rename ${kind} "${same.name}" to "${row.name}"`,
      });
    }
    if (same === undefined) {
      await writeFileAtomic(join(staging, "manifest.json"), row.manifest);
      crashPoint("store.manifest-written");
      await removeInside(directory, this.directoryOf(row.id));
      await publish(staging, this.directoryOf(row.id));
      crashPoint("store.published");
    }
    const old = this.list().find((other) => other.name === row.name && other.id !== row.id);
    if (old !== undefined) await this.#displace(old);
    crashPoint("store.old-displaced");
    if (same === undefined) table.insert(row);
    else if (same.name !== row.name) table.rename(same.id, row.name);
    crashPoint("store.recorded");
    return same === undefined ? row : { ...same, name: row.name };
  }

  async #displace(old: ArtifactRow): Promise<void> {
    const { snapshotsOf, usedBy } = this.#options;
    if (usedBy(old.id).length === 0 && (snapshotsOf?.(old.id) ?? []).length === 0) return this.#remove(old.id);
    this.#options.table.rename(old.id, old.id.slice(0, 12));
  }

  /**
   * Puts a finished staging directory in the place of the one with the same id, which nothing uses: its `files` first, each at once,
   * then its manifest. Refused with `in-use`, as a removal is. The rest of the staging directory is left.
   */
  async replace(staging: string, row: ArtifactRow, files: readonly string[]): Promise<ArtifactRow> {
    const { table } = this.#options;
    using _ = await this.#changes.acquire("all", neverAborted);
    const directory = this.directoryOf(row.id);
    await syncDirectory(staging);
    const before = this.resolve(row.id);
    this.checkUnused(before);
    // In one turn of the event loop: whoever is recorded as a user after the check opens the new files.
    for (const file of files) renameSync(join(staging, file), join(directory, file));
    const after = { ...before, manifest: row.manifest };
    if (after.manifest !== before.manifest) {
      table.describe(after.id, after.manifest);
      await writeFileAtomic(join(directory, "manifest.json"), after.manifest);
    }
    await syncDirectory(directory);
    return after;
  }

  /**
   * Gives an artifact, which may be in use, another manifest, and the `files` of a staging directory in the place of its own: for what is
   * told of its content and not read from it.
   */
  async describe(staging: string, row: ArtifactRow, files: readonly string[]): Promise<ArtifactRow> {
    using _ = await this.#changes.acquire("all", neverAborted);
    const directory = this.directoryOf(row.id);
    const after = { ...this.resolve(row.id), manifest: row.manifest };
    for (const file of files) renameSync(join(staging, file), join(directory, file));
    this.#options.table.describe(after.id, after.manifest);
    await writeFileAtomic(join(directory, "manifest.json"), after.manifest);
    return after;
  }

  /** Removes an artifact; refused while VMs use it. Idempotent only by reference: a second call finds nothing. */
  async delete(reference: string): Promise<void> {
    using _ = await this.#changes.acquire("all", neverAborted);
    const row = this.resolve(reference);
    this.checkUnused(row);
    await this.#remove(row.id);
  }

  /** Throws `in-use`, with the names of the VMs and snapshots that use it. */
  checkUnused(row: ArtifactRow): void {
    const { kind } = this.#options;
    const vms = this.#options.usedBy(row.id);
    const snapshots = this.#options.snapshotsOf?.(row.id) ?? [];
    const hints = [
      ...(vms.length > 0 ? [`banger vm delete ${vms.join(" ")}`] : []),
      ...snapshots.map((name) => `banger vm snapshot delete ${name}`),
    ];
    if (hints.length > 0) {
      const quoted = (names: readonly string[]) => names.map((name) => `"${name}"`).join(", ");
      const users = [
        ...(vms.length > 0 ? [`VM ${quoted(vms)}`] : []),
        ...(snapshots.length > 0 ? [`snapshot ${quoted(snapshots)}`] : []),
      ];
      throw new BangerError(`${kind}.in-use`, `${kind} "${row.name}" is used by ${users.join(" and ")}`, {
        hint: hints.join("; "),
      });
    }
  }

  /** The row goes first: a directory without a row is swept at the next open, a row without a directory is a lie. */
  async #remove(id: string): Promise<void> {
    this.#options.table.remove(id);
    crashPoint("store.unrecorded");
    await removeInside(this.#options.directory, this.directoryOf(id));
    crashPoint("store.files-removed");
    await syncDirectory(this.#options.directory);
  }

  /** Removes what a dead process left: staging directories, directories without a row, rows without a directory. */
  async sweep(): Promise<void> {
    const { directory, table, log, kind } = this.#options;
    await ensureDirectory(directory);
    const rows = new Set(table.list().map((row) => row.id));
    for (const entry of await readdir(directory)) {
      if (rows.has(entry)) continue;
      log.info(`removing an unfinished ${kind}`, { entry });
      try {
        await removeInside(directory, join(directory, entry));
      } catch (error) {
        // A build of a daemon that was just killed may still be ending; the next start finds the rest.
        log.warn(`an unfinished ${kind} could not be removed`, { entry, error });
      }
    }
    for (const id of rows) {
      if (await isThere(join(directory, id, "manifest.json"))) continue;
      log.warn(`the files of a ${kind} are gone; it is forgotten`, { id });
      try {
        table.remove(id);
      } catch (error) {
        log.warn(`a ${kind} whose files are gone is still used by a VM`, { id, error });
      }
    }
  }
}

function isBeginning(reference: string, { id, name }: ArtifactRow): boolean {
  return id.startsWith(reference) || (namePattern.test(name) && name.startsWith(reference));
}

/** Throws when it cannot be told: what cannot be read now is not gone. */
async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}

/** Opens a store and cleans up after dead processes. One process at a time may have a directory open: the daemon's lock sees to it. */
export async function openArtifactStore(options: ArtifactStoreOptions): Promise<ArtifactStore> {
  const store = new ArtifactStore(options);
  await store.sweep();
  return store;
}
