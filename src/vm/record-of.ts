// What is shown of a VM: its row, with what is seen of its machine, its disks and its network.
import { statSync } from "node:fs";
import type { NetworkState } from "../api/network-records.ts";
import type { VmRecord } from "../api/records.ts";
import { vmPaths } from "../config/paths.ts";
import type { VmRow } from "../state/vms.ts";
import type { Activity } from "./activity.ts";
import type { VmContext } from "./context.ts";
import { vmDisk, writableSerials } from "./disk-files.ts";
import { withOwnAddress } from "./forward/plan.ts";
import { lastUsed } from "./last-use.ts";
import { pausedMemoryBytes } from "./paused-memory.ts";

export interface RecordParts {
  context: Pick<VmContext, "paths" | "sessions">;
  activity: Activity;
  networkOf: (row: VmRow) => NetworkState;
}

export function recordOf({ activity, context, networkOf }: RecordParts, row: VmRow): VmRecord {
  const { paths, sessions } = context;
  return {
    id: row.id,
    name: row.name,
    state: row.state,
    reason: row.reason,
    image: { id: row.imageId, name: row.imageName },
    kernel: { id: row.kernelId, name: row.kernelName },
    spec: row.spec,
    autoRemove: row.autoRemove,
    workspace: row.workspace,
    pid: sessions.get(row.id)?.machine.pid ?? null,
    bootId: row.bootId,
    diskUsedBytes:
      writableSerials
        .map((serial) => allocatedBytes(vmDisk(paths, row, serial).path))
        .reduce((sum, bytes) => sum + bytes) + (row.state === "paused" ? pausedMemoryBytes(paths, row.id) : 0),
    init: row.init,
    labels: row.labels,
    forwards: withOwnAddress(row.forwards, row.address),
    lifetime: row.lifetime,
    address: row.address,
    network: networkOf(row),
    lastUsedAt: lastUsed(row, activity),
    baseSnapshot: row.baseSnapshotId,
    lastStart: row.lastStart,
    dir: vmPaths(paths, row.id).dir,
    createdAt: row.createdAt,
    startedAt: row.startedAt,
  };
}

/** Bytes that a sparse file takes on the host; 0 when it does not exist yet. */
function allocatedBytes(path: string): number {
  return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * 512;
}
