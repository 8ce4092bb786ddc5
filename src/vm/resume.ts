// Lets a paused VM go on: starts its CPUs again, or restores its memory from the disk, which is used once.
import { vmPaths } from "../config/paths.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { withSignal, type Progress } from "../lib/progress.ts";
import { undone } from "../lib/undo.ts";
import type { VmRow } from "../state/vms.ts";
import type { Machine } from "../vmm/driver.ts";
import type { VmContext } from "./context.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { asStarted, startOf } from "./machine-shape.ts";
import { machineSpec } from "./machine-spec.ts";
import { beginNetwork } from "./network/network-use.ts";
import {
  readPausedMemory,
  removeLeftovers,
  spendPausedMemory,
  unspendPausedMemory,
  type PausedMemory,
} from "./paused-memory.ts";
import { PhaseClock } from "./phases.ts";
import { restoreGuest } from "./reach-guest.ts";
import type { Session } from "./sessions.ts";
import { startVm } from "./start.ts";
import { unlessTakenOver } from "./take-over.ts";
import { wakeGuest } from "./wake-guest.ts";

/**
 * Lets the VM of `row`, which is paused, go on; the caller holds its lock. On success it is "running". It stays paused, and can be
 * tried again, after every failure before its CPUs run: `snapshot.incompatible` when its memory does not fit this host, VMM, kernel or
 * agent (any more), `snapshot.failed` when it cannot be read, or what the driver throws. After a later failure it is "stopped".
 */
export async function resumeVm(context: VmContext, row: VmRow, progress: Progress): Promise<void> {
  const { starting } = context;
  const cut = new AbortController();
  // Part of a restart: what ends the VM ends the whole.
  const outer = starting.get(row.id);
  cut.signal.addEventListener("abort", () => outer?.abort(cut.signal.reason));
  starting.set(row.id, cut);
  try {
    const session = context.sessions.get(row.id);
    if (session === undefined) await restoreMemory(context, row, progress, cut.signal);
    else await startCpus(context, row, session, withSignal(progress, AbortSignal.any([progress.signal, cut.signal])));
  } finally {
    if (outer === undefined) starting.delete(row.id);
    else starting.set(row.id, outer);
  }
}

/**
 * As `resumeVm`; but memory that does not fit any more is given up, and the VM boots from its disks, which were flushed when it was
 * paused.
 */
export async function resumeOrBoot(context: VmContext, row: VmRow, progress: Progress): Promise<void> {
  try {
    await resumeVm(context, row, progress);
    return;
  } catch (thrown) {
    const { code, message } = toBangerError(thrown);
    if (code !== "snapshot.incompatible") throw thrown;
    context.log.warn("a paused VM boots instead of going on", { vm: row.id, reason: message });
    await spendPausedMemory(context.paths, row.id);
    await removeLeftovers(context.paths, row.id);
    await startVm(context, row, progress, { cold: true });
    const { lastStart } = context.state.vms.get(row.id) ?? {};
    if (lastStart) context.state.vms.update(row.id, { lastStart: { ...lastStart, reason: message } });
  }
}

async function startCpus(context: VmContext, row: VmRow, session: Session, progress: Progress): Promise<void> {
  const { log, sessions, state } = context;
  using limit = guestDeadline(context, progress.signal);
  progress.stage("resume");
  try {
    await session.machine.resume();
    crashPoint("resume.cpus-continued");
    sessions.release(row.id);
    await wakeGuest(await orAborted(session.agent, limit.signal), row.id, { signal: limit.signal });
    crashPoint("resume.processes-continued");
    state.vms.update(row.id, { state: "running", reason: "" });
  } catch (error) {
    if (sessions.get(row.id) === session && !session.ending) {
      sessions.hold(row.id);
      await session.machine.pause().catch((again: unknown) => {
        log.error("a VM that could not go on does not stand still", { vm: row.id, error: again });
      });
    }
    throw unlessTakenOver(error, session, row, "it was being resumed");
  }
}

/** `cut` is aborted by what ends the VM, and holds for the whole; a cancellation only until the CPUs run: after that the memory is used. */
async function restoreMemory(context: VmContext, row: VmRow, progress: Progress, cut: AbortSignal): Promise<void> {
  const { paths, state } = context;
  const early = AbortSignal.any([progress.signal, cut]);
  const clock = new PhaseClock();
  progress.stage("prepare");
  const started = asStarted(row);
  const spec = await machineSpec(context, started, { signal: early });
  const fingerprint = await fingerprintOf(context.driver, spec, { signal: early });
  const memory = await usableMemory(context, row, fingerprint);

  progress.stage("restore", `${started.spec.memoryMib} MiB`);
  await using undo = new AsyncDisposableStack();
  const network = undo.use(beginNetwork(context, row, { signal: early }));
  const cancelled = new AbortController();
  const onCancel = () => cancelled.abort(progress.signal.reason);
  progress.signal.addEventListener("abort", onCancel, { once: true });
  undo.defer(() => progress.signal.removeEventListener("abort", onCancel));
  early.throwIfAborted();
  let used = false;
  const run = async (machine: Machine) => {
    undo.defer(() => (used ? undefined : unspendPausedMemory(paths, row.id)));
    await spendPausedMemory(paths, row.id);
    crashPoint("resume.memory-spent");
    early.throwIfAborted();
    state.vms.update(row.id, { state: "running", reason: "" });
    crashPoint("resume.recorded");
    used = true;
    progress.signal.removeEventListener("abort", onCancel);
    try {
      await machine.resume();
    } catch (error) {
      // Refused: nothing has run.
      if (await machine.isPaused().catch(() => false)) {
        state.vms.update(row.id, { state: "paused", reason: "" });
        used = false;
      }
      throw error;
    }
  };
  const signal = AbortSignal.any([cancelled.signal, cut]);
  try {
    const { consoleLog } = vmPaths(paths, row.id);
    const { machine, agent } = await restoreGuest(context, spec, memory.capture, {
      clock,
      consoleLog,
      signal,
      run,
    });
    undo.defer(() => machine.kill());
    undo.use(agent);
    using limit = guestDeadline(context, signal);
    // Its processes stand still until it is thawed.
    await network.attached({ signal: limit.signal });
    await wakeGuest(agent, row.id, { signal: limit.signal, clock });
    crashPoint("resume.woken");
    const lastStart = startOf(clock.record("pause"), started.spec);
    state.vms.update(row.id, { lastStart });
    context.sessions.adopt(machine, agent);
    crashPoint("resume.running");
    undo.move();
    context.starts.add(lastStart);
  } catch (thrown) {
    if (!used) throw thrown;
    const error = toBangerError(thrown);
    const broken = error.code === "guest.protocol";
    const change = { state: broken ? "broken" : "stopped", reason: error.message, bootId: null } as const;
    throw await undone(thrown, () => state.vms.update(row.id, change));
  }
  await removeLeftovers(paths, row.id);
  progress.stage("ready");
}

async function usableMemory(context: VmContext, row: VmRow, fingerprint: string): Promise<PausedMemory> {
  const memory = await readPausedMemory(context.paths, row.id);
  const hint = `banger vm kill ${row.name}; banger vm start ${row.name}  # boots from its disks`;
  if (memory === undefined) {
    throw new BangerError("snapshot.failed", `the memory of paused VM "${row.name}" cannot be read`, { hint });
  }
  if (memory.fingerprint !== fingerprint) {
    const what = "it was paused with another VMM, processor, kernel or agent";
    throw new BangerError("snapshot.incompatible", `the memory of VM "${row.name}" does not fit: ${what}`, { hint });
  }
  return memory;
}

function guestDeadline(context: VmContext, signal: AbortSignal) {
  const timeoutMs = context.settings.bootTimeoutMs;
  return deadline(signal, timeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${timeoutMs / 1000} s`);
  });
}
