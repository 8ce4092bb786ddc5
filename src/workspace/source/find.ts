// Finds the repository that a path of the host lies in.
import { lstat, realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { git, questionEnvironment } from "./safe-git.ts";

/** The real path, and the top of the work tree that it is in. Throws `workspace.not-a-repository`. */
export async function findRepository(
  path: string,
  { signal }: { signal: AbortSignal },
): Promise<{ directory: string; root: string }> {
  const directory = await existingDirectory(path);
  const root = await topLevel(directory, path, signal);
  if ((await nearestRepository(directory)) !== root) {
    throw new BangerError(
      "workspace.not-a-repository",
      `the repository of "${path}" says that its files are in "${root}" (core.worktree), which is not shipped`,
      { hint: `git -C ${path} config --unset core.worktree` },
    );
  }
  return { directory, root };
}

async function existingDirectory(path: string): Promise<string> {
  let directory: string;
  try {
    directory = await realpath(path);
    if ((await lstat(directory)).isDirectory()) return directory;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new BangerError("workspace.not-a-repository", `there is no directory "${path}"`, {
        hint: `ls ${dirname(path)}`,
        details: { missing: path },
      });
    }
    throw new BangerError("workspace.not-a-repository", `"${path}" cannot be read: ${(error as Error).message}`);
  }
  throw new BangerError("workspace.not-a-repository", `"${path}" is a file, not a directory`, {
    hint: `git -C ${dirname(path)} rev-parse --show-toplevel`,
  });
}

async function topLevel(directory: string, path: string, signal: AbortSignal): Promise<string> {
  try {
    const { stdout } = await git(["rev-parse", "--show-toplevel"], questionEnvironment, { cwd: directory, signal });
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
