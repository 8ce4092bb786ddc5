// Makes long chains of frozen disks short: the hundredth fork of a fork opens as few files as the first.
import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { readChain, virtualSize } from "../../disk/chain.ts";
import { flattenChain } from "../../disk/flatten.ts";
import { createLayer } from "../../disk/layer.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { syncDirectory } from "../../lib/files.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles, writableSerials, type WritableSerial } from "../disk-files.ts";
import { frozenDisk } from "./frozen-disks.ts";
import { vmsAbove } from "./record.ts";
import { sweepSnapshots } from "./sweep.ts";

/** Layers below a VM's own, from which on they are merged. Opening one takes the VMM about a millisecond. */
export const maxLayers = 8;

/**
 * Merges the frozen disks of a snapshot into whole files when they have more than `limit` layers. New VMs rest on the whole files;
 * those that rest on the layer have it replaced by an empty one above the whole file: the same content under the same name, so
 * whoever opens it later sees no difference. What was below it may then go; the machine of which the snapshot was taken closes it.
 * Stopped at any point, it can be done again. Throws `disk.full`, `snapshot.failed`, or the signal's reason.
 */
export async function compactSnapshot(
  context: VmContext,
  id: string,
  options: { signal: AbortSignal; limit?: number },
): Promise<void> {
  const { locks, pins, state } = context;
  const { signal, limit = maxLayers } = options;
  // One at a time: each reads files that another one would remove.
  using _turn = await locks.acquire("compact", signal);
  using _pin = pins.hold(id);
  const row = state.snapshots.get(id);
  if (row === undefined || row.parentId === null) return;
  if ((await depthOf(context, id)) <= limit) return;
  using _below = pins.hold(row.parentId);
  for (const serial of writableSerials) await compactDisk(context, id, serial, signal);
  state.snapshots.update(id, { parentId: null });
  crashPoint("compact.recorded");
  context.log.info("merged the layers of a snapshot", { snapshot: id });
  // A machine that is starting may have read the old names and open them only now: wait until it runs.
  const names = new Set(vmsAbove(state, id));
  for (const vm of state.vms.list().filter((each) => names.has(each.name))) {
    using _lock = await locks.acquire(vm.id, signal);
    await shortenRunning(context, vm.id, id);
  }
  _below[Symbol.dispose]();
  await sweepSnapshots(context);
}

/**
 * A machine that runs, of which the snapshot was taken, opened what was merged long ago, and has one more layer since each snapshot: it
 * takes the whole files instead. One that does not goes on with what it has, and is as well off after its next start.
 */
async function shortenRunning(context: VmContext, vmId: string, id: string): Promise<void> {
  const session = context.sessions.get(vmId);
  if (session === undefined) return;
  const { disk } = snapshotFiles(context.paths, id);
  try {
    await session.machine.rebaseDisks(
      id,
      writableSerials.map((serial) => ({ serial, path: disk(serial, "raw") })),
    );
    crashPoint("compact.machine-rebased");
  } catch (error) {
    if (!session.ending) context.log.warn("a machine keeps layers that were merged", { vm: vmId, snapshot: id, error });
  }
}

/** Layers of the deeper disk of a snapshot. */
async function depthOf(context: VmContext, id: string): Promise<number> {
  const chains = writableSerials.map(async (serial) => {
    const { path, format } = frozenDisk(context.paths, id, serial);
    return (await readChain(path, format)).length;
  });
  return Math.max(...(await Promise.all(chains)));
}

async function compactDisk(context: VmContext, id: string, serial: WritableSerial, signal: AbortSignal): Promise<void> {
  const files = snapshotFiles(context.paths, id);
  const layered = files.disk(serial, "qcow2");
  const whole = files.disk(serial, "raw");
  if (!existsSync(whole)) await flattenChain(layered, "qcow2", whole, { signal });
  crashPoint("compact.whole-made");
  const staging = `${layered}.new`;
  await rm(staging, { force: true });
  const backing = { path: whole, format: "raw" } as const;
  await createLayer(staging, { sizeBytes: await virtualSize(layered, "qcow2"), backing }, { signal });
  crashPoint("compact.layer-staged");
  await rename(staging, layered);
  crashPoint("compact.layer-replaced");
  await syncDirectory(files.dir);
}
