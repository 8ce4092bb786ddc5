// Removes what of snapshots nobody can ask for and nothing rests on.
import { rm } from "node:fs/promises";
import { crashPoint } from "../../lib/crash-point.ts";
import { removeInside } from "../../lib/files.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles } from "../disk-files.ts";

export type SweepContext = Pick<VmContext, "paths" | "state" | "log" | "pins">;

/**
 * To be called whenever a VM went, a snapshot lost its name, or a verb let go of one: removes the memory of snapshots without a
 * name, and those without a name whose disks nothing rests on. Their rows go before their files: what a crash leaves is a directory
 * without a row, which the next start removes. What cannot be removed is logged. Idempotent; never throws.
 */
export async function sweepSnapshots(context: SweepContext): Promise<void> {
  const { log, pins, state } = context;
  try {
    for (const row of state.snapshots.list()) {
      if (row.name !== null || row.fingerprint === null || pins.has(row.id)) continue;
      // Files first: on a full disk the record can only be changed when they have given room back. Nobody asks for such a row.
      await removeMemory(context, row.id);
      crashPoint("sweep.memory-removed");
      // A sweep that runs beside this one may have removed it meanwhile.
      if (state.snapshots.get(row.id) !== undefined) state.snapshots.update(row.id, { fingerprint: null });
    }
    for (;;) {
      const unused = state.snapshots.unused().filter((row) => !pins.has(row.id));
      if (unused.length === 0) return;
      for (const { id } of unused) {
        // A sweep that runs beside this one may have been first.
        if (!state.snapshots.remove(id)) continue;
        crashPoint("sweep.unrecorded");
        await removeInside(context.paths.snapshotsDir, snapshotFiles(context.paths, id).dir);
        crashPoint("sweep.files-removed");
      }
    }
  } catch (error) {
    log.error("what is left of a snapshot could not be removed", { error });
  }
}

/** Machines that were restored from it keep it open. Idempotent. */
export async function removeMemory(context: Pick<VmContext, "paths">, snapshotId: string): Promise<void> {
  const { memoryFile, stateFile } = snapshotFiles(context.paths, snapshotId);
  await rm(memoryFile, { force: true });
  await rm(stateFile, { force: true });
}
