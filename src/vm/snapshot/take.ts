// Takes a snapshot of a VM in whatever state it is: a row, a directory with frozen disks, and memory when there is any.
import { mkdir, open } from "node:fs/promises";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { syncDirectory } from "../../lib/files.ts";
import type { Progress } from "../../lib/progress.ts";
import type { SnapshotRow } from "../../state/snapshots.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles, writableSerials } from "../disk-files.ts";
import { asStarted } from "../machine-shape.ts";
import { unlessTakenOver } from "../take-over.ts";
import { frozenDisk } from "./frozen-disks.ts";
import { keepWithSnapshot } from "../workspace/take-along.ts";
import { removeMemory } from "./sweep.ts";
import { takeAtRest } from "./take-at-rest.ts";
import { takeRunning } from "./take-running.ts";
import type { Taking } from "./taking.ts";

export interface TakeRequest {
  /** Of the snapshot; the caller holds it (`Pins`) as long as it works with it, and sweeps when it has let go. */
  id: string;
  /** null: for the caller only. Its memory is not flushed to the disk, and goes when nobody holds it any more. */
  name: string | null;
  warm: boolean;
  progress: Progress;
  /** Told how far it is. The caller ends it. */
  taking?: Taking;
}

/**
 * Takes a snapshot. The caller holds the lock of the VM. The VM goes on as it was, also after a failure, which leaves no
 * snapshot that anybody could ask for. Throws `vm.wrong-state`, `snapshot.name-taken`, `snapshot.failed`, `disk.full`, what the
 * guest or the VMM answer, or the signal's reason.
 */
export async function takeSnapshot(context: VmContext, row: VmRow, request: TakeRequest): Promise<SnapshotRow> {
  const { paths, state } = context;
  const { id, progress } = request;
  progress.signal.throwIfAborted();
  const session = context.sessions.get(row.id);
  const fits = session === undefined ? ["created", "stopped", "paused"] : ["running", "paused"];
  if (!fits.includes(row.state)) {
    throw new BangerError("vm.wrong-state", `VM "${row.name}" is ${row.state}: no snapshot can be taken of it now`, {
      hint: `banger vm show ${row.name}`,
    });
  }

  progress.stage("snapshot", row.name);
  state.snapshots.insert(emptySnapshot(row, request));
  crashPoint("snapshot.recorded");
  try {
    await mkdir(snapshotFiles(paths, id).dir, { mode: 0o700 });
    crashPoint("snapshot.directory-made");
    // Before the guest stands still: it is not to wait for that.
    await keepWithSnapshot(paths, row, id);
    crashPoint("snapshot.workspace-kept");
    const taken =
      session === undefined
        ? await takeAtRest(context, row, request)
        : await takeRunning(context, row, session, request);
    crashPoint("snapshot.taken");
    if (request.name !== null) {
      progress.stage("flush", request.name);
      await flush(context, id, taken.fingerprint !== null);
      crashPoint("snapshot.flushed");
    }
    return state.snapshots.update(id, { ...taken, complete: true });
  } catch (error) {
    await giveUp(context, id);
    throw unlessTakenOver(error, session, row, "a snapshot of it was taken");
  }
}

/**
 * Its disks stay when those of the VM rest on them already; what is not needed goes with the sweep of the caller. What cannot be
 * done now is by the next daemon.
 */
async function giveUp(context: VmContext, id: string): Promise<void> {
  try {
    // Files first: on a full disk the record can only be changed when they have given room back.
    await removeMemory(context, id);
    context.state.snapshots.update(id, { name: null, complete: true });
  } catch (error) {
    context.log.error("a snapshot that failed could not be given up", { snapshot: id, error });
  }
}

/** The row of a snapshot that is being made: it holds the name, and the disks once the VM's row names it. */
function emptySnapshot(row: VmRow, { id, name, warm }: TakeRequest): SnapshotRow {
  return {
    id,
    name,
    parentId: row.baseSnapshotId,
    complete: false,
    vmId: row.id,
    vmName: row.name,
    imageId: row.imageId,
    imageName: row.imageName,
    kernelId: row.kernelId,
    kernelName: row.kernelName,
    // What is not in force yet is not kept: memory fits only a machine like its own.
    spec: ["running", "paused"].includes(row.state) ? asStarted(row).spec : row.spec,
    init: row.init,
    workspace: row.workspace,
    network: row.network,
    fingerprint: null,
    warm,
    pausedMs: 0,
    createdAt: Date.now(),
  };
}

/** A snapshot that people can ask for survives a power cut. */
async function flush(context: VmContext, id: string, hasMemory: boolean): Promise<void> {
  const { dir, memoryFile, stateFile } = snapshotFiles(context.paths, id);
  const disks = writableSerials.map((serial) => frozenDisk(context.paths, id, serial).path);
  for (const path of hasMemory ? [memoryFile, stateFile, ...disks] : disks) {
    await using file = await open(path, "r");
    await file.sync();
  }
  await syncDirectory(dir);
}
