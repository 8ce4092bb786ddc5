// A snapshot of a VM that has a machine: memory and disks of one instant, for which the guest stands still as briefly as can be.
//
// The record names the new disks before the machine has them. Until the switch they are empty layers above the file that the
// machine still writes to, so both names show the same content: whenever the daemon, the machine or the host ends, the record is right.
import { deadline, orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { VmRow } from "../../state/vms.ts";
import type { VmContext } from "../context.ts";
import { snapshotFiles } from "../disk-files.ts";
import { fingerprintOf } from "../fingerprint.ts";
import { asStarted } from "../machine-shape.ts";
import { machineSpec } from "../machine-spec.ts";
import type { Session } from "../sessions.ts";
import { above, adoptDisks, linkDisks, makeTops, removeStaleDisks } from "./frozen-disks.ts";
import type { Origin } from "./origin.ts";
import { standingStill } from "./stand-still.ts";
import type { Taken } from "./take-at-rest.ts";
import type { TakeRequest } from "./take.ts";

/** The VMM may take this long for what it does while the guest stands still, in milliseconds. */
const captureTimeoutMs = 120_000;
/** A machine that does not answer because it has ended is seen as ended within this. */
const endTimeoutMs = 5_000;

/** See `takeSnapshot`. Whatever happens, the guest runs afterwards, or stands still when it did before. */
export async function takeRunning(
  context: VmContext,
  known: VmRow,
  session: Session,
  request: TakeRequest,
): Promise<Taken> {
  const { paths, state } = context;
  const { machine } = session;
  const { taking } = request;
  const { signal } = request.progress;
  using turn = context.templates.capturing();
  await using undo = new AsyncDisposableStack();
  undo.defer(() => tidyDisks(context, known.id, session));
  // What takes time is done side by side, while the guest runs.
  const adopted = adoptDisks(context, known, machine);
  const linked = adopted.then((row) => linkDisks(paths, row, request.id));
  const [capture, disks, fingerprint] = await Promise.allSettled([
    machine.beginCapture(snapshotFiles(paths, request.id), { signal }),
    Promise.all([adopted, linked]).then(async ([row]) => {
      const next = above(row, request.id);
      const tops = await makeTops(paths, { ...row, ...next, baseSnapshotId: request.id }, { signal });
      return { row, next, tops };
    }),
    adopted.then(async (row) => {
      const { own, usable } = await fingerprints(context, row, signal);
      await linked;
      if (usable) taking?.begin(originOfTaking(context, request.id, own));
      return { own, usable };
    }),
  ]);
  if (capture.status === "fulfilled") undo.use(capture.value);
  const base = capture.status === "fulfilled" ? capture.value.spareBase : undefined;
  if (base !== undefined) turn.based(base);
  if (capture.status === "rejected") throw capture.reason;
  if (disks.status === "rejected") throw disks.reason;
  if (fingerprint.status === "rejected") throw fingerprint.reason;

  crashPoint("snapshot.layers-made");
  const { own, usable } = fingerprint.value;
  const { row, next, tops } = disks.value;
  // What is to be kept, or can only be booted, must have all on its disks.
  const sync = request.name !== null || !usable;
  state.vms.update(row.id, next);
  crashPoint("snapshot.disks-named");
  const pausedMs = await standingStill(context, row, session, { sync, signal }, async () => {
    const slow = `the VMM took longer than ${captureTimeoutMs / 1000} s`;
    using limit = deadline(signal, captureTimeoutMs, () => new BangerError("snapshot.failed", slow));
    // Neither changes what the other reads. Both have ended before the guest goes on.
    const both = await Promise.allSettled([capture.value.finish({ signal: limit.signal }), machine.switchDisks(tops)]);
    for (const one of both) if (one.status === "rejected") throw one.reason;
    crashPoint("snapshot.captured");
    taking?.capture();
  });
  crashPoint("snapshot.going-on");
  return { fingerprint: own, pausedMs };
}

/** What machines can be started from before the snapshot's record is complete. */
function originOfTaking({ paths, state }: VmContext, id: string, fingerprint: string): Omit<Origin, "taking"> {
  const row = state.snapshots.get(id);
  if (row === undefined) throw new BangerError("internal", `snapshot "${id}" has no record`);
  const { memoryFile, stateFile } = snapshotFiles(paths, id);
  return { snapshot: { ...row, fingerprint }, capture: { memoryFile, stateFile }, reason: "" };
}

/** Of the machine that runs, and whether what is installed now can restore its memory. */
async function fingerprints(
  context: VmContext,
  row: VmRow,
  signal: AbortSignal,
): Promise<{ own: string; usable: boolean }> {
  const now = await fingerprintOf(context.driver, await machineSpec(context, asStarted(row), { signal }), { signal });
  const own = row.fingerprint ?? now;
  return { own, usable: own === now };
}

/**
 * Record and directory then say what the machine says; without a machine the record is right as it is. What cannot be put right
 * now is by the next daemon.
 */
async function tidyDisks(context: VmContext, vmId: string, session: Session): Promise<void> {
  try {
    const now = context.state.vms.get(vmId);
    if (now === undefined) return;
    const runs = context.sessions.get(vmId) === session && !session.ending;
    await removeStaleDisks(context.paths, runs ? await trueDisks(context, now, session) : now);
  } catch (error) {
    context.log.error("the disks of a VM could not be put right", { vm: vmId, error });
  }
}

/** Of a machine that may have ended just now, which is then the reason why the snapshot failed. */
async function trueDisks(context: VmContext, row: VmRow, { machine }: Session): Promise<VmRow> {
  try {
    return await adoptDisks(context, row, machine);
  } catch (error) {
    using limit = deadline(neverAborted, endTimeoutMs, () => toBangerError(error));
    await orAborted(machine.exited, limit.signal);
    return context.state.vms.get(row.id) ?? row;
  }
}

const neverAborted = new AbortController().signal;
