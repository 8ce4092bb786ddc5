// Puts staged files into a work tree, all or none: what was there is kept until the last one is in its place, and a journal tells
// the next daemon what to undo when this one dies in between.
import { chmod, link, lstat, mkdir, readFile, rename, rmdir, unlink } from "node:fs/promises";
import type { Stats } from "node:fs";
import { join } from "node:path";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, withUndoErrors } from "../../lib/errors.ts";
import { syncDirectory, writeFileAtomic } from "../../lib/files.ts";
import { showPath } from "../quarantine/show-path.ts";
import { statusOf } from "./host-entry.ts";
import type { Step } from "./plan.ts";
import { newFile, oldFile } from "./stage.ts";

/** By what a file is known again under another name. An inode alone is soon that of another file. */
type Mark = Pick<Stats, "ino" | "size" | "mtimeMs">;

/** What has to be known to undo a switch. Paths are bytes as latin1 text. */
interface Journal {
  root: string;
  entries: { path: string; had: boolean; fresh: Mark | null }[];
  /** Directories that were not there before, parents first. */
  made: string[];
}

const journalFile = (staging: string) => join(staging, "journal.json");

/** Throws `workspace.conflict` when a file changed since it was looked at; then, and on any other failure, all is as it was. */
export async function switchOver(root: string, staging: string, steps: readonly Step[]): Promise<void> {
  const journal = await makeJournal(root, staging, steps);
  await writeFileAtomic(journalFile(staging), JSON.stringify(journal));
  crashPoint("workspace.apply.journal");
  try {
    await replaceAll(root, staging, steps);
    crashPoint("workspace.apply.replaced");
    // From here on it is done.
    await unlink(journalFile(staging));
    await syncDirectory(staging);
  } catch (error) {
    const left = await undo(staging, journal);
    if (left.length === 0) await unlink(journalFile(staging)).catch(() => {});
    throw withUndoErrors(notWritten(root, error), left);
  }
  crashPoint("workspace.apply.done");
  await removeEmptied(root, steps);
}

/** A full disk and its like have codes of their own; what the host's rights forbid is for the user to mend. */
function notWritten(root: string, error: unknown): unknown {
  const { code, message, path } = error as NodeJS.ErrnoException;
  if (error instanceof BangerError || !["EACCES", "EPERM", "EBUSY", "ENOTEMPTY", "ENOTDIR"].includes(code ?? "")) {
    return error;
  }
  return new BangerError("workspace.failed", `"${root}" could not be changed, and is as it was: ${message}`, {
    cause: error,
    hint: `ls -ld ${path ?? root}`,
  });
}

/** Undoes a switch that a daemon did not finish. Returns what could not be put back; the staging directory then has it. */
export async function undoSwitch(staging: string): Promise<unknown[]> {
  let text: string;
  try {
    text = await readFile(journalFile(staging), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  return undo(staging, JSON.parse(text) as Journal);
}

async function makeJournal(root: string, staging: string, steps: readonly Step[]): Promise<Journal> {
  const made = new Set<string>();
  const entries: Journal["entries"] = [];
  for (const [at, { path, found, write }] of steps.entries()) {
    const fresh = write === undefined ? null : markOf(await lstat(newFile(staging, at)));
    entries.push({ path: path.toString("latin1"), had: found !== undefined, fresh });
    if (write === undefined) continue;
    for (const parent of parentsOf(path)) {
      const there = await statusOf(below(root, parent));
      if (there?.isDirectory() !== true) made.add(parent.toString("latin1"));
    }
  }
  return { root, entries, made: [...made] };
}

const markOf = ({ ino, size, mtimeMs }: Stats): Mark => ({ ino, size, mtimeMs });
const isSame = (now: Stats, mark: Mark) =>
  now.ino === mark.ino && now.size === mark.size && now.mtimeMs === mark.mtimeMs;

async function replaceAll(root: string, staging: string, steps: readonly Step[]): Promise<void> {
  const numbered = steps.map((step, at) => ({ ...step, at, file: below(root, step.path) }));
  const writes = numbered.filter(({ write }) => write !== undefined);
  for (const { file, found, write, at, path } of numbered) {
    if (write !== undefined || found === undefined) continue;
    await rename(file, oldFile(staging, at));
    await checkSame(oldFile(staging, at), found, path);
  }
  for (const { file, found } of writes) if (found === undefined) await removeEmptyTree(file);
  // Links last: nothing is written through one that came with the same changes.
  const links = (step: (typeof writes)[number]) => step.write?.mode === "120000";
  for (const step of [...writes.filter((one) => !links(one)), ...writes.filter(links)]) {
    await makeParents(root, step.path);
    if (step.found === undefined) await place(newFile(staging, step.at), step.file, step.path);
    else await replace(step.file, step.found, oldFile(staging, step.at), newFile(staging, step.at), step.path);
    crashPoint("workspace.apply.replacing");
  }
}

/** The old file stays under its other name, and the name is never without a file. */
async function replace(file: Buffer, found: Stats, kept: string, fresh: string, path: Buffer): Promise<void> {
  try {
    await link(file, kept);
  } catch (error) {
    if (!noLinks(error)) throw changed(path, error);
    await rename(file, kept);
  }
  await checkSame(kept, found, path);
  await rename(fresh, file);
  // Whoever wrote into the file meanwhile has written into the one that is kept.
  await checkSame(kept, found, path);
}

async function place(fresh: string, file: Buffer, path: Buffer): Promise<void> {
  try {
    await link(fresh, file);
    await unlink(fresh);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw changed(path, error);
    if (!noLinks(error)) throw error;
    if ((await statusOf(file)) !== undefined) throw changed(path, error);
    await rename(fresh, file);
  }
}

function noLinks(error: unknown): boolean {
  return ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"].includes((error as NodeJS.ErrnoException).code ?? "");
}

async function checkSame(kept: string, found: Stats, path: Buffer): Promise<void> {
  const now = await lstat(kept);
  if (!isSame(now, found) || now.mode !== found.mode) throw changed(path);
}

function changed(path: Buffer, cause?: unknown): BangerError {
  return new BangerError("workspace.conflict", `"${showPath(path)}" changed on the host while it was to be replaced`, {
    cause,
    hint: "banger vm workspace export <vm> --apply  # again: nothing was applied",
  });
}

/** Makes the directories above a path that are not there. Throws when one of them is a link by now. */
async function makeParents(root: string, path: Buffer): Promise<void> {
  for (const parent of parentsOf(path)) {
    const directory = below(root, parent);
    const there = await statusOf(directory);
    if (there === undefined) {
      await mkdir(directory);
      // As open as the work tree itself, whatever the umask of this process.
      await chmod(directory, (await lstat(root)).mode & 0o777);
    } else if (!there.isDirectory()) throw changed(parent);
  }
}

/** Removes directories that hold nothing but such directories; a file in one of them is an error. Anything else is left. */
async function removeEmptyTree(directory: Buffer): Promise<void> {
  const there = await statusOf(directory);
  if (there?.isDirectory() !== true) return;
  const { readdir } = await import("node:fs/promises");
  for (const name of await readdir(directory, { encoding: "buffer" })) {
    await removeEmptyTree(Buffer.concat([directory, Buffer.from("/"), name]));
  }
  await rmdir(directory);
}

/** As git does: directories whose last file went go, too. */
async function removeEmptied(root: string, steps: readonly Step[]): Promise<void> {
  const parents = new Set(
    steps
      .filter(({ write }) => write === undefined)
      .flatMap(({ path }) => parentsOf(path).map((parent) => parent.toString("latin1"))),
  );
  for (const parent of [...parents].toSorted((one, other) => other.length - one.length)) {
    await rmdir(below(root, Buffer.from(parent, "latin1"))).catch(() => {});
  }
}

async function undo(staging: string, { root, entries, made }: Journal): Promise<unknown[]> {
  const left: unknown[] = [];
  for (const [at, { path, had, fresh }] of [...entries.entries()].toReversed()) {
    const file = below(root, Buffer.from(path, "latin1"));
    try {
      const now = await statusOf(file);
      const isOurs = now !== undefined && fresh !== null && isSame(now, fresh);
      if (isOurs) await unlink(file);
      if (!had) continue;
      const kept = await statusOf(Buffer.from(oldFile(staging, at)));
      if (kept === undefined || (now !== undefined && now.ino === kept.ino)) continue;
      if (now !== undefined && !isOurs && !now.isDirectory()) {
        throw new BangerError(
          "workspace.conflict",
          `"${showPath(Buffer.from(path, "latin1"))}" was changed meanwhile; what was there before is "${oldFile(staging, at)}"`,
        );
      }
      await mkdirAbove(root, Buffer.from(path, "latin1"));
      await rename(oldFile(staging, at), file);
    } catch (error) {
      left.push(error);
    }
  }
  for (const directory of made.toReversed()) {
    await rmdir(below(root, Buffer.from(directory, "latin1"))).catch(() => {});
  }
  return left;
}

async function mkdirAbove(root: string, path: Buffer): Promise<void> {
  const parent = parentsOf(path).at(-1);
  if (parent !== undefined) await mkdir(below(root, parent), { recursive: true });
}

function below(root: string, path: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${root}/`), path]);
}

/** The directories above a path, the topmost first. */
function parentsOf(path: Buffer): Buffer[] {
  const parents: Buffer[] = [];
  for (let at = path.indexOf(slash); at !== -1; at = path.indexOf(slash, at + 1)) parents.push(path.subarray(0, at));
  return parents;
}

const slash = "/".charCodeAt(0);
