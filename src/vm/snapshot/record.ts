// How a snapshot is shown.
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { SnapshotRecord } from "../../api/records.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles } from "../disk-files.ts";
import type { NamedSnapshot } from "./reference.ts";

export function snapshotRecord(context: Pick<VmContext, "paths" | "state">, row: NamedSnapshot): SnapshotRecord {
  return {
    id: row.id,
    name: row.name,
    vm: { id: row.vmId, name: row.vmName },
    image: { id: row.imageId, name: row.imageName },
    kernel: { id: row.kernelId, name: row.kernelName },
    spec: row.spec,
    memory: row.fingerprint !== null,
    warm: row.warm,
    parent: row.parentId,
    usedBytes: usedBytes(snapshotFiles(context.paths, row.id).dir),
    usedBy: vmsAbove(context.state, row.id),
    pausedMs: row.pausedMs,
    createdAt: row.createdAt,
  };
}

/** Names of the VMs whose disks rest on a snapshot, also through others. */
export function vmsAbove(state: VmContext["state"], snapshotId: string): string[] {
  const parents = new Map(state.snapshots.list().map((row: SnapshotRow) => [row.id, row.parentId]));
  const restsOnIt = (base: string | null) => {
    for (let id = base; id !== null; id = parents.get(id) ?? null) if (id === snapshotId) return true;
    return false;
  };
  return state.vms.list().flatMap((vm) => (restsOnIt(vm.baseSnapshotId) ? [vm.name] : []));
}

/** Bytes that the files of a directory take on the host. */
function usedBytes(dir: string): number {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch {
    return 0;
  }
  const blocks = names.map((name) => statSync(join(dir, name), { throwIfNoEntry: false })?.blocks ?? 0);
  return blocks.reduce((sum, of) => sum + of * 512, 0);
}
