// What of a git repository goes into a VM: its tracked files as they are now, dirty content included. Ignored and
// untracked files never do: that is where secrets and build results lie.
import type { Stats } from "node:fs";
import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { run } from "../lib/run.ts";

export interface Repository {
  /** Absolute path of the work tree's top. */
  root: string;
  name: string;
  /** The named path below the root; empty for the root itself. */
  subdirectory: string;
  /** Tracked paths that exist now, as git prints them: relative bytes, since names need not be UTF-8. */
  files: Buffer[];
  /** Number of untracked files that are not ignored; they stay behind. */
  untracked: number;
}

/** Longest list of names that is read, in bytes. */
const maxListBytes = 256 * 1024 * 1024;

/**
 * Looks at the repository that `path` lies in.
 * Throws `workspace.not-a-repository` when there is none, when it is bare, or when the path does not exist.
 */
export async function inspectRepository(path: string, options: { signal: AbortSignal }): Promise<Repository> {
  let directory: string;
  try {
    directory = await realpath(path);
    if (!(await lstat(directory)).isDirectory()) {
      throw new BangerError("workspace.not-a-repository", `"${path}" is a file, not a directory`, {
        hint: `banger vm run ${join(path, "..")}`,
      });
    }
  } catch (error) {
    if (error instanceof BangerError) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new BangerError("workspace.not-a-repository", `there is no directory "${path}"`, {
        hint: `banger vm run -- ${basename(path)}  # when it is a command`,
      });
    }
    throw new BangerError("workspace.not-a-repository", `"${path}" cannot be read: ${(error as Error).message}`);
  }
  const git = (args: readonly string[]) =>
    run({
      file: "git",
      args: ["-C", directory, ...args],
      env: gitEnvironment,
      signal: options.signal,
      maxOutputBytes: maxListBytes,
    });
  const root = await topLevel(git, path);
  if ((await nearestRepository(directory)) !== root) {
    throw new BangerError(
      "workspace.not-a-repository",
      `the repository of "${path}" says that its files are in "${root}" (core.worktree), which is not shipped`,
      { hint: `git -C ${path} config --unset core.worktree` },
    );
  }
  const [tracked, untracked] = await Promise.all([
    git(["-C", root, "ls-files", "-z", "--cached"]),
    git(["-C", root, "ls-files", "-z", "--others", "--exclude-standard"]),
  ]);
  return {
    root,
    name: basename(root),
    subdirectory: relative(root, directory),
    files: await existing(root, splitZero(tracked.stdout)),
    untracked: splitZero(untracked.stdout).length,
  };
}

/** git must not take locks, ask for anything, or run what the repository's configuration names. */
const gitEnvironment = {
  GIT_OPTIONAL_LOCKS: "0",
  GIT_TERMINAL_PROMPT: "0",
  GIT_CONFIG_COUNT: "1",
  GIT_CONFIG_KEY_0: "core.fsmonitor",
  GIT_CONFIG_VALUE_0: "false",
};

async function topLevel(git: (args: readonly string[]) => ReturnType<typeof run>, path: string): Promise<string> {
  try {
    const { stdout } = await git(["rev-parse", "--show-toplevel"]);
    return stdout.toString().replace(/\n$/, "");
  } catch (thrown) {
    const error = toBangerError(thrown);
    if (error.code !== "command.failed") throw error;
    if (error.message.includes("dubious ownership")) {
      throw new BangerError("workspace.not-a-repository", `git does not trust "${path}": it belongs to another user`, {
        cause: error,
        hint: `git config --global --add safe.directory ${path}`,
      });
    }
    const bare = error.message.includes("must be run in a work tree");
    throw new BangerError(
      "workspace.not-a-repository",
      bare ? `"${path}" is a bare repository: it has no files to ship` : `"${path}" is not in a git repository`,
      { hint: bare ? `git clone ${path} work && banger vm run work` : `git -C ${path} init && git -C ${path} add -A` },
    );
  }
}

/**
 * The nearest directory upwards that has a repository in it. A repository's own configuration may name any directory of this
 * host as its work tree; one that came from somebody else must not reach beyond the place where it was put.
 */
async function nearestRepository(directory: string): Promise<string | undefined> {
  for (let at = directory; ; at = dirname(at)) {
    if (await isThere(join(at, ".git"))) return at;
    if (at === dirname(at)) return undefined;
  }
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

function splitZero(output: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0, at);
    names.push(output.subarray(at, end === -1 ? output.length : end));
    at = end === -1 ? output.length : end + 1;
  }
  return names;
}

/**
 * Leaves out what is tracked but deleted from the work tree, and names that an unmerged path lists several times. A file
 * below a link counts as deleted, as it does for git: it lies elsewhere on this host, and is none of the repository's.
 */
async function existing(root: string, names: Buffer[]): Promise<Buffer[]> {
  const seen = new Set<string>();
  const directories = new Map<string, Promise<boolean>>();
  const isDirectory = (name: string): Promise<boolean> => {
    const known = directories.get(name);
    if (known !== undefined) return known;
    const found = (async () =>
      (name === "" || (await isDirectory(parentOf(name)))) && (await statusOf(root, name))?.isDirectory() === true)();
    directories.set(name, found);
    return found;
  };
  const kept: Buffer[] = [];
  for (const name of names) {
    const key = name.toString("latin1");
    if (seen.has(key)) continue;
    seen.add(key);
    if ((await isDirectory(parentOf(key))) && (await statusOf(root, key)) !== undefined) kept.push(name);
  }
  return kept;
}

/** `name` holds bytes as latin1 text. */
function parentOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf("/")));
}

async function statusOf(root: string, name: string): Promise<Stats | undefined> {
  return lstat(Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, "latin1")])).catch(() => undefined);
}
