// What lies under a name of a tree in a work tree of the host, without following a link on the way.
import { createHash } from "node:crypto";
import { createReadStream, type Stats } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { EntryMode, TreeEntry } from "../quarantine/changes.ts";

/** What is there. `blocked`: by a part of the path that is no directory, or that is another repository. */
export type HostEntry =
  | { kind: "absent" }
  | { kind: "entry"; entry: TreeEntry; stats: Stats }
  | { kind: "directory" }
  | { kind: "blocked"; by: Buffer; why: "not-a-directory" | "other-repository" }
  | { kind: "special" };

/** Looks at work tree paths; what it has seen of directories it remembers. */
export class HostTree {
  readonly #root: string;
  readonly #format: "sha1" | "sha256";
  readonly #directories = new Map<string, Promise<"directory" | "absent" | "other" | "repository">>();

  readonly #within: ReadonlySet<string>;

  /** `within`: directories that are repositories of their own and are looked into all the same. Bytes as latin1 text. */
  constructor(root: string, format: "sha1" | "sha256", within: ReadonlySet<string> = new Set()) {
    this.#root = root;
    this.#format = format;
    this.#within = within;
  }

  /** Absolute, as bytes: names need not be UTF-8. */
  absolute(path: Buffer): Buffer {
    return Buffer.concat([Buffer.from(`${this.#root}/`), path]);
  }

  async look(path: Buffer): Promise<HostEntry> {
    for (let at = path.indexOf(slash); at !== -1; at = path.indexOf(slash, at + 1)) {
      const parent = path.subarray(0, at);
      const kind = await this.#directory(parent);
      if (kind === "absent") return { kind: "absent" };
      if (kind === "other") return { kind: "blocked", by: parent, why: "not-a-directory" };
      if (kind === "repository") return { kind: "blocked", by: parent, why: "other-repository" };
    }
    const file = this.absolute(path);
    const stats = await statusOf(file);
    if (stats === undefined) return { kind: "absent" };
    if (stats.isDirectory()) return { kind: "directory" };
    if (stats.isSymbolicLink()) {
      const target = await readlink(file, { encoding: "buffer" });
      const id = createHash(this.#format).update(`blob ${target.length}\0`).update(target).digest("hex");
      return { kind: "entry", entry: { mode: "120000", id }, stats };
    }
    if (!stats.isFile()) return { kind: "special" };
    const mode: EntryMode = (stats.mode & 0o100) === 0 ? "100644" : "100755";
    return { kind: "entry", entry: { mode, id: await this.#idOf(file, stats.size) }, stats };
  }

  #directory(path: Buffer) {
    const key = path.toString("latin1");
    const known = this.#directories.get(key);
    if (known !== undefined) return known;
    const found = (async () => {
      const stats = await statusOf(this.absolute(path));
      if (stats === undefined) return "absent";
      if (!stats.isDirectory()) return "other";
      if (this.#within.has(key)) return "directory";
      const inside = await statusOf(Buffer.concat([this.absolute(path), Buffer.from("/.git")]));
      return inside === undefined ? "directory" : "repository";
    })();
    this.#directories.set(key, found);
    return found;
  }

  async #idOf(file: Buffer, size: number): Promise<string> {
    const hash = createHash(this.#format).update(`blob ${size}\0`);
    await pipeline(createReadStream(file), hash);
    return hash.digest("hex");
  }
}

const slash = "/".charCodeAt(0);

/** Of the file or link itself; undefined when there is none. */
export async function statusOf(file: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
