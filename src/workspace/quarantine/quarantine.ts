// A bare repository that lives for one export: what a guest sends is unpacked and checked there, beside the host's own objects,
// and read by a git that knows no setting of this host.
import { link, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { namesIn, stagingDirectory } from "../../lib/files.ts";
import { formatBytes } from "../../lib/units.ts";
import { parseChanges, refused, type Change } from "./changes.ts";
import { quarantineGit, quarantineSettings, type Git } from "./git.ts";

export interface QuarantineOptions {
  /** Directory that the repository is made in; it is removed with it. */
  directory: string;
  /** Object directories of the host's repository. */
  objects: readonly string[];
  format: "sha1" | "sha256";
  /** Bytes of a pack, and of all that it unpacks to. */
  maxBytes: number;
  /** Milliseconds for each run of git. */
  timeoutMs: number;
}

export class Quarantine implements AsyncDisposable {
  /** Absolute path of the bare repository. */
  readonly path: string;
  readonly git: Git;
  readonly format: "sha1" | "sha256";
  readonly #directory: AsyncDisposable;
  readonly #maxBytes: number;

  private constructor(directory: { path: string } & AsyncDisposable, options: QuarantineOptions) {
    const { objects: alternates, maxBytes, timeoutMs, format } = options;
    this.path = directory.path;
    this.format = format;
    this.#directory = directory;
    this.#maxBytes = maxBytes;
    // Index and settings are files, too.
    const maxFileBytes = maxBytes + 256 * 1024 * 1024;
    this.git = quarantineGit({ directory: this.path, alternates, maxFileBytes, timeoutMs });
  }

  static async open(options: QuarantineOptions): Promise<Quarantine> {
    const directory = await stagingDirectory(options.directory);
    try {
      const { path } = directory;
      for (const name of ["objects", "objects/pack", "refs", "refs/heads"]) await mkdir(join(path, name));
      await writeFile(join(path, "HEAD"), "ref: refs/heads/none\n");
      await writeFile(join(path, "config"), configText(options.format));
      return new Quarantine(directory, options);
    } catch (error) {
      await directory[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Takes a pack, which may rest on objects of the host. Every object is checked, and what it names must be there. Throws
   * `workspace.refused` for one that is malformed, too large, or unpacks to too much.
   */
  async receive(pack: Readable, { signal }: { signal: AbortSignal }): Promise<void> {
    const limit = formatBytes(this.#maxBytes);
    let name: string;
    try {
      const { stdout } = await this.git(
        ["index-pack", "--stdin", "--fix-thin", "--strict", "--threads=1", `--max-input-size=${this.#maxBytes}`],
        { input: pack, signal },
      );
      name = /^pack\t([0-9a-f]{40,64})\n$/.exec(stdout.toString("latin1"))?.[1] ?? "";
    } catch (thrown) {
      signal.throwIfAborted();
      const error = toBangerError(thrown);
      if (error.code !== "workspace.failed") throw error;
      const why = /maximum allowed size/.test(toBangerError(error.cause).message)
        ? `it is larger than ${limit}`
        : "git cannot read it, or it holds what git forbids";
      throw refused(why, { cause: error });
    }
    const sizes = await this.git(["show-index", `--object-format=${this.format}`], {
      input: await readIndex(this.path, name),
      signal,
      maxOutputBytes: 512 * 1024 * 1024,
    });
    const ids = sizes.stdout.toString("latin1").replace(/^\d+ ([0-9a-f]+).*$/gm, "$1");
    const checked = await this.git(["cat-file", "--batch-check=%(objectsize)"], { input: ids, signal });
    const total = checked.stdout
      .toString("latin1")
      .split("\n")
      .reduce((sum, size) => sum + Number(size), 0);
    // NaN, too: an object that is not there has no size.
    if (!(total <= this.#maxBytes)) throw refused(`it unpacks to more than ${limit}`);
  }

  /** Keeps objects that are borrowed from a directory, when that lies on the same file system: they outlive it then. */
  async keep(objects: string): Promise<void> {
    for (const group of await namesIn(objects)) {
      if (!/^(?:[0-9a-f]{2}|pack)$/.test(group)) continue;
      await mkdir(join(this.path, "objects", group), { recursive: true });
      for (const name of await namesIn(join(objects, group))) {
        try {
          await link(join(objects, group, name), join(this.path, "objects", group, name));
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException;
          if (code === "EXDEV") return;
          // Two VMs may have the same; and who misses what went meanwhile says so.
          if (code !== "EEXIST" && code !== "ENOENT") throw error;
        }
      }
    }
  }

  /** The full id of what a name or id means, as a commit or tree; undefined when there is no such thing. */
  async resolve(name: string, kind: "commit" | "tree", signal: AbortSignal): Promise<string | undefined> {
    const found = await this.git(["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{${kind}}`], {
      signal,
      okExitCodes: [0, 1, 128],
    });
    const id = found.stdout.toString("latin1").trim();
    return found.exitCode === 0 && /^[0-9a-f]{40,64}$/.test(id) ? id : undefined;
  }

  /** What differs between two trees, every name and kind checked. Throws `workspace.refused`. */
  async changes(before: string, after: string, signal: AbortSignal): Promise<Change[]> {
    const { stdout } = await this.git(
      ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index", "--no-abbrev", before, after],
      { signal, maxOutputBytes: 256 * 1024 * 1024 },
    );
    return parseChanges(stdout);
  }

  /** The tree that is left when changes are made to another one. */
  async treeWith(base: string, changes: readonly Change[], signal: AbortSignal): Promise<string> {
    const none = { mode: "0", id: "0".repeat(this.format === "sha1" ? 40 : 64) };
    const entries = changes.map(({ path, after = none }) => ({ path, ...after }));
    return await this.#treeOf(base, entries, signal);
  }

  /** The tree that is left when submodules take the place of what is at their paths. */
  async treeWithLinks(
    base: string,
    links: readonly { path: Buffer; id: string }[],
    signal: AbortSignal,
  ): Promise<string> {
    const entries = links.map((one) => ({ ...one, mode: "160000" }));
    return await this.#treeOf(base, entries, signal);
  }

  async #treeOf(
    base: string,
    entries: readonly { path: Buffer; mode: string; id: string }[],
    signal: AbortSignal,
  ): Promise<string> {
    const env = { GIT_INDEX_FILE: join(this.path, "index") };
    const lines = entries.flatMap(({ path, mode, id }) => [Buffer.from(`${mode} ${id}\t`), path, Buffer.from([0])]);
    await this.git(["read-tree", base], { env, signal });
    await this.git(["update-index", "-z", "--index-info"], { env, input: Buffer.concat(lines), signal });
    return (await this.git(["write-tree"], { env, signal })).stdout.toString("latin1").trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#directory[Symbol.asyncDispose]();
  }
}

/** Id of a tree without entries, in either format. */
export const emptyTree = {
  sha1: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
  sha256: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
} as const;

async function readIndex(directory: string, name: string): Promise<Buffer> {
  if (name === "") throw new BangerError("workspace.failed", "git did not say where it put what the guest sent");
  const { readFile } = await import("node:fs/promises");
  return readFile(join(directory, "objects/pack", `pack-${name}.idx`));
}

function configText(format: "sha1" | "sha256"): string {
  const settings = [
    ["core.repositoryformatversion", format === "sha1" ? "0" : "1"],
    ...(format === "sha1" ? [] : [["extensions.objectformat", format]]),
    ...quarantineSettings,
  ];
  return settings
    .map(([key = "", value = ""]) => {
      const [section, name] = key.split(".");
      return `[${section}]\n\t${name} = ${value === "" ? '""' : value}\n`;
    })
    .join("");
}
