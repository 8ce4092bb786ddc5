// What changed on the host since a workspace was prepared or synced, and the files that bring a guest's record up to date with it.
import { lstatSync } from "node:fs";
import { link, mkdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BangerError } from "../lib/errors.ts";
import { writeFileAtomic } from "../lib/files.ts";
import { baseRef } from "./record.ts";
import { isBelow, splitZero, submoduleMode, type FileChange } from "./source/git-words.ts";
import { git } from "./source/safe-git.ts";
import type { Shipment } from "./staging/shipment.ts";
import { makeReadable } from "./staging/dot-git.ts";
import { treeOfEdited } from "./staging/edited-tree.ts";
import { Staging } from "./staging/staging.ts";

type Call = { signal: AbortSignal };

/** What is kept beside the staging of a VM. */
interface Kept {
  /** Of the user's repository. */
  indexFile: string;
  /** State of that file when it was last looked at: another one means that other files may be tracked by now. */
  indexState: string;
  /** The tree of our index, but for what is edited. */
  tree: string;
  /** Tracked files that were not there, so our index does not have them. Bytes as latin1 text. */
  absent: string[];
  /** Files that changed while they were sent: what the guest got of them is not known. Bytes as latin1 text; older ones do not have it. */
  unsure?: string[];
  /** Files that the tree knows newer than our index does. Bytes as latin1 text; older ones do not have it. */
  edited?: string[];
}

export interface HostChanges {
  changes: FileChange[];
  /** Files of which it is not known what the guest has: sent whatever that is, changed or not. Not among `changes`. */
  again: FileChange[];
  /** Tree of the files as they are now. */
  tree: string;
  /** Ids of the objects that the guest lacks. */
  objects: string[];
}

export class HostSide {
  readonly #directory: string;
  readonly staging: Staging;
  readonly #next: Staging;
  readonly #includeUntracked: boolean;
  #kept: Kept | undefined;
  #indexState = "";
  #tree = "";
  #absent: string[] = [];
  #removed: string[] = [];
  #dropped: ReadonlySet<string> = new Set();
  /** State of each file when it was looked at, by name. */
  #states = new Map<string, string>();
  #again: FileChange[] = [];
  /** What may be another one than our index says. */
  #touched: Buffer[] = [];
  /** What became known without the index; undefined: the next index has all of it. */
  #edited: string[] | undefined;

  /** `directory`: what `makeShipment` was given, or its later name. Nobody else may use it meanwhile. */
  constructor(directory: string, root: string, options: { includeUntracked: boolean }) {
    this.#directory = directory;
    this.staging = Staging.at(directory, root);
    this.#next = this.staging.withIndex("index.next");
    this.#includeUntracked = options.includeUntracked;
  }

  /** A directory for lists and the like. */
  get scratch(): string {
    return this.#directory;
  }

  /** Where the user's repository has its index. */
  async indexDirectory(): Promise<string> {
    return dirname((await this.#readKept()).indexFile);
  }

  /** Remembers which files were tracked when the workspace was prepared. The guest has its copies of the staging's index by then. */
  static async begin(
    directory: string,
    { source, staging, baseTree, absent }: Pick<Shipment, "source" | "staging" | "baseTree" | "absent">,
    options: Call,
  ): Promise<void> {
    const { indexFile } = source;
    const kept: Kept = { indexFile, indexState: await stateOf(indexFile), tree: baseTree, absent: absent.map(key) };
    await staging.splitIndex(options);
    await writeFileAtomic(join(directory, "sync.json"), JSON.stringify(kept));
  }

  /**
   * Looks at the files, and compares them with a tree that was shipped once: after a VM went back to a snapshot it is not the last one.
   * What is found becomes the new state with `keep`, else it is found again. Throws `workspace.none` when the tree is not known any more.
   */
  async look(baseTree: string, options: Call): Promise<HostChanges> {
    this.#kept = await this.#readKept();
    this.#indexState = await stateOf(this.#kept.indexFile);
    const [dirty, tracked, added] = await Promise.all([
      this.staging.touched(options),
      this.#indexState === this.#kept.indexState ? undefined : this.#trackedNow(options),
      this.#includeUntracked ? this.staging.untracked(options) : [],
    ]);
    const { unsure = [], edited = [] } = this.#kept;
    const touched = [...new Set([...dirty.map(key), ...edited])].map((name) => Buffer.from(name, "latin1"));
    this.#touched = touched;
    this.#edited = undefined;
    const others = added.filter((name) => name.at(-1) !== slash);
    const dropped: Buffer[] = [];
    let candidates: Buffer[] = this.#kept.absent.map((name) => Buffer.from(name, "latin1"));
    if (tracked !== undefined) {
      const known = await this.staging.entries(options);
      const before = new Set(known.map(({ name }) => key(name)));
      const now = new Set(tracked.map(key));
      candidates = tracked.filter((name) => !before.has(key(name)));
      // With untracked files these go only when they are not there any more, which is seen as a change.
      if (!this.#includeUntracked)
        dropped.push(...known.map(({ name }) => name).filter((name) => !isBelow(now, key(name))));
    }
    const present = (name: Buffer) => isThere(this.staging.workTree, name);
    others.push(...candidates.filter(present));
    this.#absent = candidates.filter((name) => !present(name)).map(key);
    this.#tree = this.#kept.tree;
    this.#dropped = new Set(dropped.map(key));
    this.#removed = [];
    // Before they are read: what changes from now on is seen.
    this.#states = new Map([...touched, ...others].map((name) => [key(name), this.#stateOf(name)]));
    this.#again = [];
    const isUsual = tracked === undefined && others.length === 0 && unsure.length === 0 && this.#tree === baseTree;
    const found = isUsual ? await treeOfEdited(this.staging, baseTree, touched, options) : undefined;
    if (found !== undefined) {
      this.#tree = found.tree;
      this.#edited = [...new Set([...edited, ...found.changes.map(({ path }) => key(path))])];
      return { ...found, again: [] };
    }
    await this.#next.copyIndexOf(this.staging);
    if (touched.length === 0 && tracked === undefined && others.length === 0 && this.#tree === baseTree) {
      this.#again = await this.#asTheyAre(unsure, options);
      return { changes: [], again: this.#again, tree: baseTree, objects: [] };
    }
    if (this.#tree !== baseTree) await this.#checkKnown(baseTree, options);
    await this.#next.takeIn([...touched, ...others], options);
    this.#again = await this.#asTheyAre(unsure, options);
    if (dropped.length > 0) {
      const id = "0".repeat(baseTree.length);
      await this.#next.setEntries(
        dropped.map((name) => ({ name, id, mode: 0 })),
        options,
      );
    }
    return await this.#compare(baseTree, options);
  }

  /** Leaves some files as they were shipped before. */
  async without(some: readonly FileChange[], baseTree: string, options: Call): Promise<HostChanges> {
    if (this.#edited !== undefined) {
      this.#edited = undefined;
      await this.#next.copyIndexOf(this.staging);
      await this.#next.takeIn(this.#touched, options);
    }
    await this.#next.setEntries(
      some.map(({ path, oldMode, oldId }) => ({ name: path, mode: oldMode, id: oldId })),
      options,
    );
    return await this.#compare(baseTree, options);
  }

  /** Names of the files among some changes that are others by now than when they were looked at, bytes as latin1 text. */
  changedSince(changes: readonly FileChange[]): string[] {
    const sent = changes.filter(({ newMode }) => newMode !== 0);
    return sent.filter(({ path }) => this.#states.get(key(path)) !== this.#stateOf(path)).map(({ path }) => key(path));
  }

  /** Makes what was looked at last the state that is known. `unsure`: files that changed while they were sent. */
  async keep(unsure: string[] = []): Promise<void> {
    const before = this.#kept;
    const absent = [...new Set([...this.#absent, ...this.#removed])];
    const isSame = before?.indexState === this.#indexState && before.tree === this.#tree;
    const isSure = unsure.length === 0 && (before?.unsure ?? []).length === 0;
    const isIndexed = this.#edited === undefined && (before?.edited ?? []).length === 0;
    if (before !== undefined && !(isSame && isSure && isIndexed && before.absent.length === absent.length)) {
      const kept: Kept = {
        indexFile: before.indexFile,
        indexState: this.#indexState,
        tree: this.#tree,
        absent,
        unsure,
        ...(this.#edited === undefined ? {} : { edited: this.#edited }),
      };
      // Before the index: a tree that is not the one of the record makes the next look compare everything.
      await writeFileAtomic(join(this.#directory, "sync.json"), JSON.stringify(kept));
    }
    if (this.#edited === undefined) await rename(this.#next.indexFile, this.staging.indexFile);
  }

  /**
   * Objects and ref for the guest's repository, below a directory that the next call replaces.
   * Returns that directory; it has ".git" in it.
   */
  async forGuest({ tree, objects }: Pick<HostChanges, "tree" | "objects">, options: Call): Promise<string> {
    const out = join(this.#directory, "out");
    await rm(out, { recursive: true, force: true });
    await mkdir(join(out, ".git/objects/pack"), { recursive: true, mode: 0o755 });
    await mkdir(join(out, ".git/refs/banger"), { recursive: true, mode: 0o755 });
    await writeFile(join(out, ".git", baseRef), `${tree}\n`);
    if (!(await this.#takeLoose(objects, join(out, ".git/objects")))) {
      await this.#next.git(
        ["-c", "pack.compression=1", "pack-objects", "--quiet", "--window=0", join(out, ".git/objects/pack/pack")],
        { input: `${objects.join("\n")}\n`, timeoutMs: 60 * 60 * 1000, ...options },
      );
    }
    await makeReadable(join(out, ".git"));
    return out;
  }

  /** A few objects that were only just made go as they are. False: they lie elsewhere, or are many. */
  async #takeLoose(objects: readonly string[], to: string): Promise<boolean> {
    if (objects.length > maxLooseObjects) return false;
    try {
      for (const id of objects) {
        const name = join(id.slice(0, 2), id.slice(2));
        await mkdir(dirname(join(to, name)), { recursive: true });
        await link(join(this.staging.gitDir, "objects", name), join(to, name));
      }
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw error;
    }
  }

  async #checkKnown(tree: string, options: Call): Promise<void> {
    try {
      await this.staging.git(["cat-file", "-e", `${tree}^{tree}`], options);
    } catch (error) {
      options.signal.throwIfAborted();
      throw new BangerError(
        "workspace.none",
        "what was shipped into the VM before it went back is not known any more",
        {
          cause: error,
          hint: "banger vm workspace prepare <vm> <path>",
        },
      );
    }
  }

  async #readKept(): Promise<Kept> {
    return JSON.parse(await readFile(join(this.#directory, "sync.json"), "utf8")) as Kept;
  }

  async #trackedNow(options: Call): Promise<Buffer[]> {
    const env = { ...this.staging.environment, GIT_INDEX_FILE: this.#kept?.indexFile ?? "" };
    const { stdout } = await git(["ls-files", "-z"], env, { cwd: this.staging.workTree, ...options });
    return splitZero(stdout);
  }

  async #compare(baseTree: string, options: Call): Promise<HostChanges> {
    const tree = await this.#next.writeTree(options);
    this.#tree = tree;
    if (tree === baseTree) return { changes: [], again: this.#again, tree, objects: [] };
    const output = await this.#next.git(
      ["diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", "--no-abbrev", baseTree, tree],
      options,
    );
    const changes: FileChange[] = [];
    const objects = new Set([tree]);
    const pieces = splitZero(output);
    for (let at = 0; at + 1 < pieces.length; at += 2) {
      const [oldMode = "", newMode = "", oldId = "", newId = ""] = (pieces[at]?.toString("latin1") ?? "")
        .slice(1)
        .split(" ");
      const modes = { oldMode: Number.parseInt(oldMode, 8), newMode: Number.parseInt(newMode, 8) };
      if (modes.oldMode === submoduleMode || modes.newMode === submoduleMode) continue;
      if (modes.newMode !== 0) objects.add(newId);
      const isFile = (mode: number) => mode !== 0 && mode !== directoryMode;
      if (!isFile(modes.oldMode) && !isFile(modes.newMode)) continue;
      changes.push({
        path: pieces[at + 1] ?? Buffer.alloc(0),
        oldMode: isFile(modes.oldMode) ? modes.oldMode : 0,
        newMode: isFile(modes.newMode) ? modes.newMode : 0,
        oldId,
        newId,
      });
    }
    this.#removed = changes.flatMap(({ path, newMode }) =>
      newMode === 0 && !this.#dropped.has(key(path)) ? [key(path)] : [],
    );
    // What was not touched now is as the index says.
    for (const { path } of changes) {
      if (!this.#states.has(key(path))) this.#states.set(key(path), this.#stateOf(path));
    }
    const unsure = new Set(this.#kept?.unsure);
    const changed = new Map(changes.map((change) => [key(change.path), change]));
    return {
      changes: changes.filter(({ path }) => !unsure.has(key(path))),
      again: [
        ...changes.filter(({ path }) => unsure.has(key(path))),
        ...this.#again.filter(({ path }) => !changed.has(key(path))),
      ],
      tree,
      objects: [...objects],
    };
  }

  /** Changes that change nothing: of files as the index has them. */
  async #asTheyAre(names: readonly string[], options: Call): Promise<FileChange[]> {
    if (names.length === 0) return [];
    const wanted = new Set(names);
    const entries = (await this.#next.entries(options)).filter(({ name }) => wanted.has(key(name)));
    for (const { name } of entries) {
      if (!this.#states.has(key(name))) this.#states.set(key(name), this.#stateOf(name));
    }
    return entries
      .filter(({ name }) => isThere(this.staging.workTree, name))
      .map(({ name: path, mode, id }) => ({ path, oldMode: mode, oldId: id, newMode: mode, newId: id }));
  }

  #stateOf(name: Buffer): string {
    const path = Buffer.concat([Buffer.from(`${this.staging.workTree}/`), name]);
    try {
      const { ino, size, mode, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
      return [ino, size, mode, mtimeNs, ctimeNs].join(":");
    } catch {
      return "";
    }
  }
}

const directoryMode = 0o040000;
/** More make a repository slow that has them as a file each. */
const maxLooseObjects = 50;
const slash = 0x2f;
const key = (name: Buffer) => name.toString("latin1");

function isThere(root: string, name: Buffer): boolean {
  try {
    const info = lstatSync(Buffer.concat([Buffer.from(`${root}/`), name]));
    return info.isFile() || info.isSymbolicLink();
  } catch {
    return false;
  }
}

async function stateOf(file: string): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch {
    return "";
  }
}
