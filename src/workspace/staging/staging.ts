// A git directory of ours beside a repository of the user: it borrows the objects and has an index that says what was shipped. Git runs
// with its configuration alone, so that no hook, filter, file system monitor or helper that the user's names is ever run.
import { constants, lstatSync } from "node:fs";
import { copyFile, mkdir, stat, utimes, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { configFile } from "../source/config-file.ts";
import { joinZero, parseIndexEntries, splitZero, type IndexEntry } from "../source/git-words.ts";
import { git, isolatedEnvironment, type GitOptions } from "../source/safe-git.ts";
import type { Source } from "../source/source.ts";

type Call = { signal: AbortSignal };

/** Settings of the user's repository that say how its files are read; git runs nothing because of them. */
const kept = ["core.autocrlf", "core.eol", "core.filemode", "core.ignorecase", "core.precomposeunicode"] as const;

/** The same, for the guest's configuration. */
export function keptSettings(settings: ReadonlyMap<string, string>): Record<string, string | undefined> {
  return Object.fromEntries(kept.map((name) => [name.slice("core.".length), settings.get(name)]));
}

export class Staging {
  readonly #directory: string;
  /** Top of the files that are looked at. */
  readonly workTree: string;
  readonly indexName: string;

  private constructor(directory: string, workTree: string, indexName: string) {
    this.#directory = directory;
    this.workTree = workTree;
    this.indexName = indexName;
  }

  get gitDir(): string {
    return join(this.#directory, "git");
  }

  get indexFile(): string {
    return join(this.gitDir, this.indexName);
  }

  /** One that was made before. */
  static at(directory: string, workTree: string): Staging {
    return new Staging(directory, workTree, "index");
  }

  /** Makes it in a directory of the caller's, who removes it. Its index is empty. */
  static async create(source: Source, directory: string): Promise<Staging> {
    const made = Staging.at(directory, source.root);
    for (const path of ["objects/info", "refs/heads", "info"]) {
      await mkdir(join(made.gitDir, path), { recursive: true, mode: 0o700 });
    }
    const excludes = source.settings.get("core.excludesfile");
    await Promise.all([
      writeFile(join(made.gitDir, "HEAD"), `${source.headCommit ?? "ref: refs/heads/none"}\n`),
      writeFile(
        join(made.gitDir, "config"),
        configFile([
          [
            ["core"],
            {
              repositoryformatversion: source.objectFormat === "sha256" ? "1" : "0",
              bare: "false",
              ...keptSettings(source.settings),
              safecrlf: "false",
              fsmonitor: "false",
              untrackedCache: "false",
              hooksPath: "/dev/null",
              attributesFile: "/dev/null",
              excludesFile: excludes,
            },
          ],
          [["extensions"], { objectformat: source.objectFormat === "sha256" ? "sha256" : undefined }],
          [["diff"], { ignoreSubmodules: "all" }],
          [["gc"], { auto: "0" }],
          [["pack"], { compression: "1" }],
          [["index"], { version: "2" }],
        ]),
      ),
      writeFile(join(made.gitDir, "objects/info/alternates"), `${alternate(join(source.commonDir, "objects"))}\n`),
      copyIfThere(join(source.commonDir, "info/exclude"), join(made.gitDir, "info/exclude")),
      copyIfThere(join(source.commonDir, "shallow"), join(made.gitDir, "shallow")),
    ]);
    return made;
  }

  /** The same with another index file of its own. */
  withIndex(name: string): Staging {
    return new Staging(this.#directory, this.workTree, name);
  }

  /** The same for other files. */
  withWorkTree(workTree: string): Staging {
    return new Staging(this.#directory, workTree, this.indexName);
  }

  async git(args: readonly string[], options: Omit<GitOptions, "cwd">): Promise<Buffer> {
    return (await git(args, this.environment, { cwd: this.workTree, ...options })).stdout;
  }

  get environment(): Record<string, string> {
    return isolatedEnvironment(this.gitDir, this.workTree, this.indexFile);
  }

  /** Takes the index of the user's repository over, as this git writes it. */
  async copySourceIndex(source: Source, options: Call): Promise<void> {
    if (!(await copyIndex(source.indexFile, this.indexFile))) return;
    const shared = (await this.#sharedIndex(source, options)).trim();
    if (shared !== "")
      await copyFile(resolve(source.root, shared), join(this.gitDir, shared.slice(shared.lastIndexOf("/") + 1)));
    await this.git(
      [
        "update-index",
        "--no-fsmonitor",
        "--no-untracked-cache",
        "--no-split-index",
        "--index-version",
        "2",
        "--force-write-index",
      ],
      options,
    );
  }

  async #sharedIndex(source: Source, options: Call): Promise<string> {
    const env = { ...this.environment, GIT_DIR: source.gitDir, GIT_INDEX_FILE: source.indexFile };
    const { stdout } = await git(["-c", "core.fsmonitor=false", "rev-parse", "--shared-index-path"], env, {
      cwd: source.root,
      ...options,
    });
    return stdout.toString();
  }

  /**
   * From now on each change writes what differs from a file that the copies of this index share: with 50,000 files, half the time of a
   * change is git's sum over the whole. git removes such files two weeks after their last use.
   */
  async splitIndex(options: Call): Promise<void> {
    await this.git(["update-index", "--split-index"], options);
  }

  /** Makes this index the same as another one of this staging. */
  async copyIndexOf(other: Staging): Promise<void> {
    await copyIndex(other.indexFile, this.indexFile);
  }

  /** Entries of the index. */
  async entries(options: Call): Promise<IndexEntry[]> {
    return parseIndexEntries(await this.git(["ls-files", "-s", "-t", "-z"], options));
  }

  /** Names of files whose content may be another one than the index says, and of those that went. */
  async touched(options: Call): Promise<Buffer[]> {
    return splitZero(await this.git(["diff-files", "--name-only", "-z", "--ignore-submodules=all"], options));
  }

  /** Untracked files; ignored ones not among them. A name that ends in "/" is a repository of its own. */
  async untracked(options: Call): Promise<Buffer[]> {
    return splitZero(await this.git(["ls-files", "-z", "--others", "--exclude-standard"], options));
  }

  /** Makes the index say what the files are now; those that are not there leave it. */
  async takeIn(names: readonly Buffer[], options: Call): Promise<void> {
    // What is below a link lies elsewhere on this host, and is none of the repository's: for git it is not there.
    const isInside = insideOf(this.workTree);
    const inside = names.filter(isInside);
    const elsewhere = names.filter((name) => !isInside(name));
    if (elsewhere.length > 0) {
      await this.git(["update-index", "--force-remove", "-z", "--stdin"], { input: joinZero(elsewhere), ...options });
    }
    if (inside.length === 0) return;
    await this.git(["update-index", "--add", "--remove", "--replace", "-z", "--stdin"], {
      input: joinZero(inside),
      timeoutMs: 60 * 60 * 1000,
      ...options,
    });
  }

  /** Sets entries of the index as `git update-index --index-info` takes them. */
  async setEntries(entries: readonly { name: Buffer; mode: number; id: string }[], options: Call): Promise<void> {
    const lines = entries.map(({ name, mode, id }) =>
      Buffer.concat([Buffer.from(`${mode.toString(8).padStart(6, "0")} ${id}\t`), name]),
    );
    await this.git(["update-index", "-z", "--index-info"], { input: joinZero(lines), ...options });
  }

  /** Makes changes be seen that the user asked git not to look for (assume-unchanged). */
  async lookAtAll(options: Call): Promise<void> {
    const assumed = splitZero(await this.git(["ls-files", "-v", "-z"], options)).filter((line) => line[0] === 0x68);
    if (assumed.length === 0) return;
    const input = joinZero(assumed.map((line) => line.subarray(2)));
    await this.git(["update-index", "--no-assume-unchanged", "-z", "--stdin"], { input, ...options });
  }

  async writeTree(options: Call): Promise<string> {
    return (await this.git(["write-tree"], options)).toString().trim();
  }
}

function isLink(path: Buffer): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

/** Says of names whether all above them are directories, or not there. */
export function insideOf(root: string): (name: Buffer) => boolean {
  const known = new Map<string, boolean>([["", true]]);
  const isDirectory = (path: string): boolean => {
    const before = known.get(path);
    if (before !== undefined) return before;
    const above = isDirectory(path.slice(0, Math.max(0, path.lastIndexOf("/"))));
    const bytes = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
    const here = above && !isLink(bytes);
    known.set(path, here);
    return here;
  };
  return (name) => {
    const path = name.toString("latin1");
    return isDirectory(path.slice(0, Math.max(0, path.lastIndexOf("/"))));
  };
}

/** Keeps the second of its time: files that are not older may have changed without that it shows, and git looks at them. */
async function copyIndex(from: string, to: string): Promise<boolean> {
  if (!(await copyIfThere(from, to))) return false;
  const { mtimeMs } = await stat(from);
  const seconds = Math.floor(mtimeMs / 1000);
  await utimes(to, seconds, seconds);
  return true;
}

async function copyIfThere(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_FICLONE);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** A line of objects/info/alternates. */
function alternate(path: string): string {
  return /[\n"\\]/.test(path) ? `"${path.replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"` : path;
}
