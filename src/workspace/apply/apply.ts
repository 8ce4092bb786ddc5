// Applies a guest's changes to a work tree of the host as uncommitted changes, or not at all.
import { lstat, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { randomBytes } from "node:crypto";
import { BangerError } from "../../lib/errors.ts";
import { ensureDirectory, removeInside, writeFileAtomic } from "../../lib/files.ts";
import type { Change } from "../quarantine/changes.ts";
import type { Quarantine } from "../quarantine/quarantine.ts";
import type { HostRepository } from "./host-repository.ts";
import { planApply, type Conflict } from "./plan.ts";
import { stageSteps } from "./stage.ts";
import { switchOver, undoSwitch } from "./switch.ts";

export interface ApplyRequest {
  quarantine: Quarantine;
  changes: readonly Change[];
  repository: HostRepository;
  /** Submodules whose files are changed, too; default: none. Paths from the top, bytes as latin1 text. */
  within?: ReadonlySet<string>;
  /** Directory of the daemon that remembers what is under way: see recoverApplies. */
  journalDirectory: string;
  /** Stop before anything is written to the work tree. */
  check: boolean;
  signal: AbortSignal;
}

export interface ApplyResult {
  /** Files that were written or removed, or would be. */
  changed: number;
  /** Files that the host already has as they are in the guest. */
  unchanged: number;
  /** Not empty: nothing was applied. */
  conflicts: Conflict[];
}

/** Changes the work tree only when every file can be; the index, HEAD and other files stay as they are. */
export async function applyChanges(request: ApplyRequest): Promise<ApplyResult> {
  const { quarantine, changes, repository, within, journalDirectory, check, signal } = request;
  const { root, format } = repository;
  const { steps, conflicts, unchanged } = await planApply(root, changes, format, within);
  const result = { changed: steps.length, unchanged, conflicts };
  if (conflicts.length > 0 || steps.length === 0) return result;
  await using staging = await openStaging(repository, journalDirectory);
  const merging = await stageSteps(quarantine, root, staging.path, steps, signal);
  if (merging.length > 0) return { ...result, conflicts: merging };
  signal.throwIfAborted();
  // Short, and not to be cut: it goes to its end or back.
  if (!check) await switchOver(root, staging.path, steps);
  return result;
}

/** Undoes what a daemon that died was applying. Returns sentences about what could not be undone. To be called before anything is applied. */
export async function recoverApplies(journalDirectory: string): Promise<string[]> {
  const problems: string[] = [];
  const names = await readdir(journalDirectory).catch(() => []);
  for (const name of names) {
    const file = join(journalDirectory, name);
    try {
      if (name.endsWith(".json")) {
        const staging = (JSON.parse(await readFile(file, "utf8")) as { staging: string }).staging;
        // A disk that is not mounted now may come back with what there is to undo.
        await lstat(dirname(staging));
        const left = await undoSwitch(staging);
        if (left.length > 0) {
          problems.push(...left.map((error) => (error instanceof Error ? error.message : String(error))));
          continue;
        }
        await removeInside(dirname(staging), staging);
      }
      await rm(file, { force: true });
    } catch (error) {
      problems.push(`${file}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return problems;
}

/** A directory on the work tree's own file system: in the git directory, or else at its top. The daemon's directory points to it. */
async function openStaging({ root, gitDirectory }: HostRepository, journalDirectory: string) {
  const id = randomBytes(6).toString("hex");
  const together = (await lstat(root)).dev === (await lstat(gitDirectory)).dev;
  const path = join(together ? gitDirectory : root, together ? `banger-apply-${id}` : `.banger-apply-${id}`);
  const pointer = join(journalDirectory, `${id}.json`);
  await ensureDirectory(journalDirectory);
  await writeFileAtomic(pointer, JSON.stringify({ staging: path }));
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    await rm(pointer, { force: true });
    throw new BangerError("workspace.failed", `"${dirname(path)}" cannot be written to`, { cause: error });
  }
  return {
    path,
    async [Symbol.asyncDispose]() {
      // A journal is only still there when something could not be put back: then the old files are here.
      if ((await readdir(path)).includes("journal.json")) return;
      await removeInside(dirname(path), path);
      await rm(pointer, { force: true });
    },
  };
}
