// A snapshot of a VM without a machine: its disks and, when it is paused, the memory that it would go on from.
import { link } from "node:fs/promises";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles } from "../disk-files.ts";
import { ensureBlankDisks } from "../machine-spec.ts";
import { readPausedMemory } from "../paused-memory.ts";
import { above, linkDisks, makeTops, removeStaleDisks } from "./frozen-disks.ts";
import type { TakeRequest } from "./take.ts";
import { crashPoint } from "../../lib/crash-point.ts";

/** What only the taking knows of a snapshot. */
export type Taken = Pick<SnapshotRow, "fingerprint" | "pausedMs">;

/** See `takeSnapshot`. The memory of a paused VM stays its own, too: both only read it. */
export async function takeAtRest(context: VmContext, row: VmRow, request: TakeRequest): Promise<Taken> {
  const { paths, state } = context;
  const { signal } = request.progress;
  await ensureBlankDisks(context, row, { signal });
  await using undo = new AsyncDisposableStack();
  undo.defer(() => removeStaleDisks(paths, state.vms.get(row.id) ?? row));
  const fingerprint = row.state === "paused" ? await linkPausedMemory(context, row.id, request.id) : null;
  crashPoint("snapshot.memory-linked");
  await linkDisks(paths, row, request.id);
  const next = above(row, request.id);
  await makeTops(paths, { ...row, ...next, baseSnapshotId: request.id }, { signal });
  crashPoint("snapshot.layers-made-at-rest");
  signal.throwIfAborted();
  state.vms.update(row.id, next);
  crashPoint("snapshot.disks-named-at-rest");
  return { fingerprint, pausedMs: 0 };
}

async function linkPausedMemory(context: VmContext, vmId: string, snapshotId: string): Promise<string | null> {
  const memory = await readPausedMemory(context.paths, vmId);
  if (memory === undefined) return null;
  const files = snapshotFiles(context.paths, snapshotId);
  await link(memory.capture.memoryFile, files.memoryFile);
  await link(memory.capture.stateFile, files.stateFile);
  return memory.fingerprint;
}
