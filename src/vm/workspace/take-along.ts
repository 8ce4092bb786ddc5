// Takes what the host knows of a workspace along with snapshots and to the VMs that go on from them, so that those can be synced, too.
import { randomBytes } from "node:crypto";
import { link, mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { type Paths, vmPaths } from "../../config/paths.ts";
import { removeInside } from "../../lib/files.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmRow } from "../../state/vms.ts";
import { snapshotFiles } from "../disk-files.ts";
import { hostDirectory, unfinishedDirectory } from "./host-directory.ts";

/** In the directory of a snapshot; it goes with it. */
const inSnapshot = (paths: Paths, id: string) => join(snapshotFiles(paths, id).dir, "workspace");

/**
 * Into a snapshot whose directory is there. Nothing is copied when there is nothing, or when a new prepare takes its place just now:
 * what goes on from the snapshot is then prepared anew before it can be synced.
 */
export async function keepWithSnapshot(
  paths: Paths,
  { id, workspace }: Pick<VmRow, "id" | "workspace">,
  snapshotId: string,
): Promise<void> {
  if (workspace === null) return;
  await linkStaging(hostDirectory(vmPaths(paths, id).dir, workspace), inSnapshot(paths, snapshotId));
}

/**
 * Out of a snapshot, which the caller holds, to a VM whose directory is there. The record that names it may come later. A VM that has it
 * already keeps its own, which knows all that the snapshot's does.
 */
export async function takeFromSnapshot(
  paths: Paths,
  { id, workspace }: Pick<SnapshotRow, "id" | "workspace">,
  vmId: string,
): Promise<void> {
  if (workspace === null) return;
  const { dir } = vmPaths(paths, vmId);
  const target = hostDirectory(dir, workspace);
  if (await isThere(target)) return;
  const staging = unfinishedDirectory(dir, randomBytes(4).toString("hex"));
  if (await linkStaging(inSnapshot(paths, id), staging)) await rename(staging, target);
}

/** Made for one call only, or not finished. */
const passing = /^(?:index\.(?:next|guest)|sharedindex_.*|tmp_.*|.*\.lock)$/;

/**
 * Links, as no file of a staging is ever written to again under its name. A sync may be at work: it makes objects, then "sync.json", then
 * the index; here they come in the opposite order, so that what is taken of the index is known. False: there is none, or it went meanwhile.
 */
async function linkStaging(from: string, to: string): Promise<boolean> {
  try {
    await mkdir(join(to, "git"), { recursive: true, mode: 0o700 });
    await link(join(from, "git/index"), join(to, "git/index")).catch(orMissing);
    await link(join(from, "sync.json"), join(to, "sync.json"));
    await linkBelow(join(from, "git"), join(to, "git"));
    // It is renamed before it is removed: what was found below it was all.
    await stat(from);
    return true;
  } catch (error) {
    await removeInside(join(to, ".."), to);
    orMissing(error);
    return false;
  }
}

async function linkBelow(from: string, to: string): Promise<void> {
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (passing.test(entry.name)) continue;
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      await mkdir(target, { recursive: true, mode: 0o700 });
      await linkBelow(source, target);
    } else {
      await link(source, target).catch(orThere);
    }
  }
}

function orMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}

function orThere(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
