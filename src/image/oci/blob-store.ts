// The cache of blobs: content-addressed files below one directory. Every published file was checked against its digest.
import { randomBytes } from "node:crypto";
import { constants, type FileHandle, link, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ensureDirectory, namesIn, removeInside, syncDirectory } from "../../lib/files.ts";
import type { Logger } from "../../lib/log.ts";
import { KeyedMutex } from "../../lib/mutex.ts";
import { hashFor, isDigest, splitDigest } from "./digest.ts";

export interface CachedBlob {
  digest: string;
  sizeBytes: number;
  /** False: a download that was interrupted, which the next pull goes on with. */
  complete: boolean;
  /** A pull under way reads or writes it. */
  inUse: boolean;
}

export interface PruneResult {
  blobs: number;
  bytes: number;
}

/** Holds blobs in the cache until disposed. */
export interface BlobLease extends Disposable {
  add(digest: string): void;
}

const folders = ["sha256", "sha512", "partial"] as const;
const neverAborted = new AbortController().signal;

/** One process at a time may have a directory open: the daemon's lock sees to it. */
export class BlobStore {
  readonly directory: string;
  readonly #log: Logger;
  /** How many hold a blob. */
  readonly #leases = new Map<string, number>();
  /** Names of files are looked up, made and moved one at a time. What is open stays readable whatever happens to its name. */
  readonly #names = new KeyedMutex();

  private constructor(directory: string, log: Logger) {
    this.directory = directory;
    this.#log = log;
  }

  /** Removes what a prune that was killed left aside. Makes nothing: a cache that is not there is an empty one. */
  static async open(directory: string, log: Logger): Promise<BlobStore> {
    const parent = dirname(directory);
    const left = new RegExp(`^${basename(directory)}\\.(?:pruned|new)-[0-9a-f]+$`);
    for (const name of await namesIn(parent)) {
      if (!left.test(name)) continue;
      log.info("removing blobs that were pruned", { name });
      await removeInside(parent, join(parent, name)).catch((error: unknown) => {
        log.warn("pruned blobs could not be removed", { name, error });
      });
    }
    return new BlobStore(directory, log);
  }

  lease(): BlobLease {
    const held = new Set<string>();
    return {
      add: (digest) => {
        if (held.has(digest)) return;
        held.add(digest);
        this.#leases.set(digest, (this.#leases.get(digest) ?? 0) + 1);
      },
      [Symbol.dispose]: () => {
        for (const digest of held) {
          const left = (this.#leases.get(digest) ?? 1) - 1;
          if (left === 0) this.#leases.delete(digest);
          else this.#leases.set(digest, left);
        }
        held.clear();
      },
    };
  }

  /** An open file, the caller's to close; undefined when the blob is not there as a whole. */
  async openBlob(digest: string): Promise<FileHandle | undefined> {
    using _ = await this.#names.acquire("all", neverAborted);
    try {
      return await open(this.#path(digest), "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** The file that a download goes on with, new or with what an earlier one left. The caller has a lease and closes it. */
  async openPartial(digest: string): Promise<FileHandle> {
    using _ = await this.#names.acquire("all", neverAborted);
    const path = this.#partial(digest);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;
    return await this.#inFolders(() => open(path, flags, 0o600));
  }

  /** Makes a download whose digest was checked a blob. */
  async publish(digest: string, file: FileHandle): Promise<void> {
    await file.sync();
    using _ = await this.#names.acquire("all", neverAborted);
    const path = this.#path(digest);
    await this.#inFolders(() => rename(this.#partial(digest), path));
    await syncDirectory(dirname(path));
  }

  /** How much of these blobs is not there yet. */
  async missingBytes(blobs: readonly { digest: string; sizeBytes: number }[]): Promise<number> {
    let missing = 0;
    for (const { digest, sizeBytes } of blobs) {
      const have = (await sizeOf(this.#path(digest))) ?? (await sizeOf(this.#partial(digest))) ?? 0;
      missing += Math.max(0, sizeBytes - have);
    }
    return missing;
  }

  /** Missing is fine. */
  async remove(digest: string): Promise<void> {
    using _ = await this.#names.acquire("all", neverAborted);
    await rm(this.#path(digest), { force: true });
    await rm(this.#partial(digest), { force: true });
  }

  /** The largest first. */
  async list(): Promise<CachedBlob[]> {
    const found: CachedBlob[] = [];
    for (const folder of folders) {
      for (const name of await namesIn(join(this.directory, folder))) {
        const digest = folder === "partial" ? name.replace("-", ":") : `${folder}:${name}`;
        if (!isDigest(digest)) continue;
        const sizeBytes = await sizeOf(join(this.directory, folder, name));
        if (sizeBytes === undefined) continue;
        found.push({ digest, sizeBytes, complete: folder !== "partial", inUse: this.#leases.has(digest) });
      }
    }
    return found.toSorted((a, b) => b.sizeBytes - a.sizeBytes);
  }

  /** Reads every whole blob again. Removes those that are not what their name says, and returns their digests. */
  async verify(options: {
    signal: AbortSignal;
    onBytes?: (done: number, total: number) => void;
  }): Promise<{ blobs: number; bytes: number; bad: string[] }> {
    const blobs = (await this.list()).filter((blob) => blob.complete);
    const total = blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0);
    const bad: string[] = [];
    let done = 0;
    for (const { digest } of blobs) {
      const file = await this.openBlob(digest);
      if (file === undefined) continue;
      const hash = hashFor(digest);
      try {
        for await (const piece of file.createReadStream({ highWaterMark: 1024 * 1024, signal: options.signal })) {
          hash.update(piece as Buffer);
          done += (piece as Buffer).length;
          options.onBytes?.(done, total);
        }
      } catch (error) {
        options.signal.throwIfAborted();
        this.#log.warn("a blob cannot be read", { digest, error });
      }
      if (digest.endsWith(`:${hash.digest("hex")}`)) continue;
      bad.push(digest);
      await this.remove(digest);
    }
    return { blobs: blobs.length, bytes: total, bad };
  }

  /**
   * Removes every blob that nobody holds. The directory is put aside as a whole and comes back with what is held: whoever is
   * killed in between leaves no half of a cache.
   */
  async prune({ dryRun }: { dryRun: boolean }): Promise<PruneResult> {
    const parent = dirname(this.directory);
    const suffix = randomBytes(6).toString("hex");
    const aside = `${this.directory}.pruned-${suffix}`;
    let result: PruneResult;
    {
      using _ = await this.#names.acquire("all", neverAborted);
      const blobs = await this.list();
      const gone = blobs.filter((blob) => !blob.inUse);
      result = { blobs: gone.length, bytes: gone.reduce((sum, blob) => sum + blob.sizeBytes, 0) };
      if (dryRun || (await sizeOf(this.directory)) === undefined) return result;
      const fresh = `${this.directory}.new-${suffix}`;
      try {
        for (const folder of folders) await mkdir(join(fresh, folder), { recursive: true, mode: 0o700 });
        for (const { digest, complete } of blobs.filter((blob) => blob.inUse)) {
          const path = complete ? this.#path(digest) : this.#partial(digest);
          await link(path, join(fresh, path.slice(this.directory.length + 1)));
        }
        await rename(this.directory, aside);
        await rename(fresh, this.directory);
      } catch (error) {
        await removeInside(parent, fresh);
        throw error;
      }
      await syncDirectory(parent);
    }
    await removeInside(parent, aside);
    return result;
  }

  /**
   * Makes the directories only when they are missing: whoever gives the thread pool a job may have to wait for one of its threads
   * that decompresses and has no processor, so the daemon's own thread gives it few.
   */
  async #inFolders<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      for (const folder of folders) await ensureDirectory(join(this.directory, folder));
      return await action();
    }
  }

  #path(digest: string): string {
    const { algorithm, hex } = splitDigest(digest);
    return join(this.directory, algorithm, hex);
  }

  #partial(digest: string): string {
    const { algorithm, hex } = splitDigest(digest);
    return join(this.directory, "partial", `${algorithm}-${hex}`);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
