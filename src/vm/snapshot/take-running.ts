// A snapshot of a VM that has a machine: memory and disks of one instant, for which the guest stands still as briefly as can be.
//
// The record names the new disks before the machine has them. Until the switch they are empty layers above the file that the
// machine still writes to, so both names show the same content: whenever the daemon, the machine or the host ends, the record is right.
import { rm } from "node:fs/promises";
import { deadline, orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { VmRow } from "../../state/vms.ts";
import type { CaptureTurn, VmContext } from "../context.ts";
import { snapshotFiles } from "../disk-files.ts";
import { fingerprintOf } from "../fingerprint.ts";
import { asStarted } from "../machine-shape.ts";
import { machineSpec } from "../machine-spec.ts";
import type { Capture, Machine, MachineCapture } from "../../vmm/driver.ts";
import type { Session } from "../sessions.ts";
import { above, adoptDisks, linkDisks, makeTops, removeStaleDisks } from "./frozen-disks.ts";
import type { Origin } from "./origin.ts";
import { standingStill } from "./stand-still.ts";
import { removeMemory } from "./sweep.ts";
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
  const ready = adopted.then(async (row) => {
    const fits = await fingerprints(context, row, signal);
    await linked;
    return fits;
  });
  const [memory, disks, fingerprint] = await Promise.allSettled([
    beginMemory(context, machine, request, ready, turn),
    Promise.all([adopted, linked]).then(async ([row]) => {
      const next = above(row, request.id);
      const tops = await makeTops(paths, { ...row, ...next, baseSnapshotId: request.id }, { signal });
      return { row, next, tops };
    }),
    ready,
  ]);
  if (memory.status === "rejected") throw memory.reason;
  const { handsOver } = memory.value;
  const capture = undo.use(memory.value);
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
    // Where it cannot begin, the VM keeps its disks: each failure would be one more layer.
    const begun = await orAborted(capture.begun, limit.signal);
    // Neither changes what the other reads, and the VMM does the first at once. Both have ended before the guest goes on.
    const finished = begun.finish({ signal: limit.signal });
    const both = await Promise.allSettled([finished, machine.switchDisks(request.id, tops)]);
    for (const one of both) if (one.status === "rejected") throw one.reason;
    crashPoint("snapshot.captured");
    taking?.capture();
  });
  crashPoint("snapshot.going-on");
  if (!handsOver) return { fingerprint: own, pausedMs };
  // The VMM that has the memory has the state open.
  await removeMemory(context, request.id);
  return { fingerprint: null, pausedMs };
}

/**
 * Begins to take the memory: into files, or, for one machine that goes on at once, into that machine, if the VMM can. Those who start
 * machines are told where it is to be as soon as the VM's disks are `ready`.
 */
async function beginMemory(
  context: VmContext,
  machine: Machine,
  { id, progress, taking }: TakeRequest,
  ready: Promise<{ own: string; usable: boolean }>,
  turn: CaptureTurn,
): Promise<Memory> {
  const { signal } = progress;
  const { memoryFile, stateFile } = snapshotFiles(context.paths, id);
  const handOver = taking?.forOne === true ? await machine.beginHandOver(stateFile, { signal }) : undefined;
  const begun = ready.then(({ own, usable }) => {
    const files = handOver?.capture ?? { memoryFile, stateFile };
    if (usable) taking?.begin(originOfTaking(context, id, own, files), { handsOver: handOver !== undefined });
    return usable;
  });
  if (taking !== undefined && handOver !== undefined) {
    if (await begun) {
      taking.layOut();
      const standby = await orAborted(taking.standby, signal).catch(async (error: unknown) => {
        // It has its memory file from the machine: if that has ended, this tells so.
        await machine.isPaused();
        throw error;
      });
      // Found out, and copied once, while the guest stops its processes.
      return memoryOf(handOver.to(standby, { signal }), true);
    }
    await rm(stateFile);
  }
  begun.catch(() => {});
  const onLaidOut = taking && (() => taking.layOut());
  const capture = await machine.beginCapture({ memoryFile, stateFile }, { signal, onLaidOut });
  if (capture.spareBase !== undefined) turn.based(capture.spareBase);
  return memoryOf(Promise.resolve(capture), false);
}

/** Dispose lets go of the capture, once it has begun. */
interface Memory extends AsyncDisposable {
  begun: Promise<Capture>;
  handsOver: boolean;
}

function memoryOf(begun: Promise<Capture>, handsOver: boolean): Memory {
  begun.catch(() => {});
  const dispose = async () => {
    const capture = await begun.catch(() => undefined);
    await capture?.[Symbol.asyncDispose]();
  };
  return { begun, handsOver, [Symbol.asyncDispose]: dispose };
}

/** What machines can be started from before the snapshot's record is complete. */
function originOfTaking(
  { state }: VmContext,
  id: string,
  fingerprint: string,
  capture: MachineCapture,
): Omit<Origin, "taking"> {
  const row = state.snapshots.get(id);
  if (row === undefined) throw new BangerError("internal", `snapshot "${id}" has no record`);
  return { snapshot: { ...row, fingerprint }, capture, reason: "" };
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
