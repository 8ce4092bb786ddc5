// Removes a VM for good: VMM, record, files.
import { vmPaths } from "../config/paths.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { toBangerError } from "../lib/errors.ts";
import { removeInside } from "../lib/files.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { sweepSnapshots } from "./snapshot/sweep.ts";
import { killVm } from "./stop.ts";

/**
 * Ends the VM without ceremony and removes its record and its disks. The caller holds the lock. The record goes before the
 * files: what a crash in between leaves is a directory without a record, which the next start removes. Only on a disk so full
 * that the record cannot be changed the files go first: they give the room for that.
 */
export async function removeVm(context: VmContext, row: VmRow): Promise<void> {
  const removeFiles = () => removeInside(context.paths.vmsDir, vmPaths(context.paths, row.id).dir);
  try {
    await killVm(context, row);
    crashPoint("delete.ended");
    context.state.vms.remove(row.id);
  } catch (error) {
    const ended = context.sessions.get(row.id) === undefined;
    if (!ended || toBangerError(error).code !== "disk.full") throw error;
    await removeFiles();
    context.state.vms.remove(row.id);
  }
  crashPoint("delete.unrecorded");
  await removeFiles();
  crashPoint("delete.files-removed");
  await sweepSnapshots(context);
  crashPoint("delete.swept");
}
