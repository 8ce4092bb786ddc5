// Files that must never be seen half made: staging beside the target, fsync, rename. And removal that cannot leave its root.
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { BangerError } from "./errors.ts";

/** Makes a directory and its parents; new ones are 0700. Idempotent. */
export async function ensureDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    // Node says so of a file system that cannot be written to, too.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") await mkdir(path, { mode: 0o700 });
    throw error;
  }
}

/** Replaces a file in one step: readers see the old content or the new, also after a crash. Mode 0600 unless given. */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const staging = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const file = await open(staging, "wx", mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(staging, path);
  } catch (error) {
    await rm(staging, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Renames a finished staging directory or file into place and makes the rename durable. The target must not exist. */
export async function publish(staging: string, target: string): Promise<void> {
  await rename(staging, target);
  await syncDirectory(dirname(target));
}

/** Flushes a directory's entries (renames, creations) to the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Names of the entries of a directory; none when it is missing. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** How often a directory is emptied anew in which somebody, who has been told to end, still makes a file. */
const maxRetries = 5;

/** Removes a file or tree that must lie strictly below `root`. Missing is fine. Symbolic links are removed, never followed. */
export async function removeInside(root: string, path: string): Promise<void> {
  const inside = relative(resolve(root), resolve(path));
  if (inside === "" || inside.startsWith("..") || inside.startsWith("/")) {
    throw new BangerError("internal", `refusing to remove "${path}": it is not below "${root}"`);
  }
  await rm(path, { recursive: true, force: true, maxRetries });
}

/**
 * Removes what a killed process left that was writing a file of a directory: entries that end in ".tmp" or ".new". To be called
 * while nobody writes there. A directory that is missing is fine.
 */
export async function removeUnfinished(directory: string): Promise<void> {
  for (const name of await namesIn(directory))
    if (/\.(?:new|tmp)$/.test(name)) await removeInside(directory, join(directory, name));
}

/** Removes what killed processes left of `stagingDirectory`. To be called while nobody stages there. A directory that is missing is fine. */
export async function removeUnfinishedStaging(root: string): Promise<void> {
  for (const name of await namesIn(root)) if (name.startsWith("staging-")) await removeInside(root, join(root, name));
}

/** A new, empty 0700 directory below `root` for work that is not published yet; removed on dispose when still there. */
export async function stagingDirectory(root: string): Promise<{ path: string } & AsyncDisposable> {
  await ensureDirectory(root);
  const path = join(root, `staging-${process.pid}-${randomBytes(6).toString("hex")}`);
  await mkdir(path, { mode: 0o700 });
  return { path, [Symbol.asyncDispose]: () => removeInside(root, path) };
}
