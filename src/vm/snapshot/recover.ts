// What a daemon that starts does with snapshots: gives up those that were being made, removes what nothing needs.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { removeInside, removeUnfinished } from "../../lib/files.ts";
import { snapshotFiles } from "../disk-files.ts";
import { removeStaleDisks } from "./frozen-disks.ts";
import { removeMemory, sweepSnapshots, type SweepContext } from "./sweep.ts";

/**
 * Called once VMs are recovered, that is: once the records of those that run name their true disks (`adoptDisks`). Snapshots that
 * were not completed lose name and memory; unused ones, halves of disks that were being merged, directories without a row and disks
 * that no VM's record names are removed. What cannot be put right is logged. Idempotent.
 */
export async function recoverSnapshots(context: SweepContext): Promise<void> {
  const { log, paths, state } = context;
  const orLogged = async (what: string, name: string, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      log.error(`${what} could not be put right`, { name, error });
    }
  };
  for (const row of state.snapshots.list()) {
    await orLogged("a snapshot", row.id, async () => {
      if (!row.complete) {
        log.warn("giving up a snapshot that was not completed", { snapshot: row.id, name: row.name });
        state.snapshots.update(row.id, { name: null, fingerprint: null, complete: true });
      }
      if (!row.complete || row.fingerprint === null) await removeMemory(context, row.id);
      await removeUnfinished(snapshotFiles(paths, row.id).dir);
    });
  }
  for (const row of state.vms.list()) {
    // A VM that could not be recovered may have a machine with disks that the record does not name.
    if (row.state === "broken") continue;
    await orLogged("the disks of a VM", row.id, () => removeStaleDisks(paths, row));
  }
  await sweepSnapshots(context);
  const known = new Set(state.snapshots.list().map((row) => row.id));
  for (const name of await readdir(paths.snapshotsDir)) {
    if (known.has(name)) continue;
    log.warn("removing a snapshot directory that has no record", { dir: name });
    await orLogged("a snapshot directory", name, () =>
      removeInside(paths.snapshotsDir, join(paths.snapshotsDir, name)),
    );
  }
}
