// Puts a VM back to one of its snapshots: other disks, and memory when there is any. What came after is lost.
import { vmPaths } from "../../config/paths.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { wasRestored } from "../cut-off.ts";
import { killVm } from "../stop.ts";
import { removeOthers } from "../workspace/host-directory.ts";
import { takeFromSnapshot } from "../workspace/take-along.ts";
import { above, makeTops, removeStaleDisks } from "./frozen-disks.ts";
import { goOnFrom } from "./go-on.ts";
import type { Origin } from "./origin.ts";
import type { NamedSnapshot } from "./reference.ts";

/** Throws `snapshot.incompatible` for a snapshot of another VM. */
export function checkOwn(row: VmRow, snapshot: NamedSnapshot): void {
  if (snapshot.vmId === row.id) return;
  throw new BangerError(
    "snapshot.incompatible",
    `snapshot "${snapshot.name}" was taken of VM "${snapshot.vmName}" (${snapshot.vmId}), not of "${row.name}"`,
    { hint: `banger vm fork ${snapshot.name}` },
  );
}

/**
 * Ends the VM without ceremony, gives it the disks and the sizes of the snapshot, and lets it go on from its memory; without memory
 * it is left stopped. The caller holds the VM's lock and the snapshot, and sweeps afterwards. A failure before the VM is ended leaves it as it
 * was; a later one leaves it stopped, with the snapshot's disks once the record says so.
 */
export async function restoreInPlace(
  context: VmContext,
  row: VmRow,
  origin: Origin,
  progress: Progress,
): Promise<void> {
  const { paths, state } = context;
  const { snapshot } = origin;
  const next = above(row, snapshot.id);
  progress.stage("restore", snapshot.name ?? snapshot.id);
  {
    await using undo = new AsyncDisposableStack();
    undo.defer(async () => {
      const left = state.vms.get(row.id);
      if (left === undefined) return;
      await removeStaleDisks(paths, left);
      await removeOthers({ dir: vmPaths(paths, left.id).dir, workspace: left.workspace }, "made");
    });
    await makeTops(paths, { ...row, ...next, baseSnapshotId: snapshot.id }, { signal: progress.signal });
    crashPoint("restore.layers-made");
    await takeFromSnapshot(paths, snapshot, row.id);
    crashPoint("restore.workspace-linked");
    progress.signal.throwIfAborted();
    await killVm(context, row, {
      why: wasRestored(row, snapshot.name ?? snapshot.id, { goesOn: snapshot.fingerprint !== null }),
    });
    crashPoint("restore.ended");
    state.vms.update(row.id, { ...next, spec: snapshot.spec, workspace: snapshot.workspace });
    crashPoint("restore.disks-named");
  }
  const now = state.vms.get(row.id);
  crashPoint("restore.cleaned");
  if (now === undefined || snapshot.fingerprint === null) return;
  await goOnFrom(context, now, origin, progress);
}
