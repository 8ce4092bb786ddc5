// Pauses a running VM: its memory goes to the disk and its VMM ends, or only its CPUs stop. Until the record says "paused" everything
// can be undone, and the VM runs on.
import type { GuestAgent } from "../guest/agent.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { asStarted } from "./machine-shape.ts";
import { publishPausedMemory, removeLeftovers, spendPausedMemory, stagePausedMemory } from "./paused-memory.ts";
import { runningFingerprint } from "./running-fingerprint.ts";
import { wasPaused } from "./cut-off.ts";
import { endMachine, type Session } from "./sessions.ts";
import { unlessTakenOver } from "./take-over.ts";
import { wakeGuest } from "./wake-guest.ts";

/** How long a guest may take to write its caches and to stop its processes, and to go on after a pause that failed. */
const freezeTimeoutMs = 120_000;
const wakeTimeoutMs = 30_000;

/**
 * Pauses the VM of `row`, which runs; the caller holds its lock. `keepRunning`: the VMM stays, with the memory in it. Otherwise the
 * memory is on the disk, durable, when it resolves, and no process is left. After a failure (`snapshot.failed`, `disk.full`,
 * `guest.failed`, the signal's reason) the VM runs on as before; when it does not, it is "broken" with the reason. `cancelled` also when
 * another verb has ended the VM meanwhile.
 */
export async function pauseVm(
  context: VmContext,
  row: VmRow,
  session: Session,
  options: { keepRunning: boolean },
  progress: Progress,
): Promise<void> {
  try {
    await (options.keepRunning ? stopCpus : moveToDisk)(context, row, session, progress);
  } catch (error) {
    await undoPause(context, row, session);
    throw unlessTakenOver(error, session, row, "it was being paused");
  }
  if (!options.keepRunning) await letGo(context, row, session);
}

type Step = (context: VmContext, row: VmRow, session: Session, progress: Progress) => Promise<void>;

const stopCpus: Step = async (context, row, session, progress) => {
  const { signal } = progress;
  progress.stage("freeze");
  const agent = await orAborted(session.agent, signal);
  context.sessions.hold(row.id);
  await freeze(agent, { sync: false, signal });
  crashPoint("pause.frozen-in-memory");
  await session.machine.pause();
  crashPoint("pause.stopped-in-memory");
  signal.throwIfAborted();
  context.state.vms.update(row.id, { state: "paused", reason: "" });
  crashPoint("pause.recorded-in-memory");
};

const moveToDisk: Step = async (context, row, session, progress) => {
  const { paths } = context;
  const { machine } = session;
  const { signal } = progress;
  progress.stage("copy", `${asStarted(row).spec.memoryMib} MiB`);
  const fingerprint = await runningFingerprint(context, row, { signal });
  const agent = await orAborted(session.agent, signal);
  {
    // Begun while the guest runs: what does not change any more is copied before it has to stand still.
    using turn = context.templates.capturing();
    await using capture = await machine.beginCapture(await stagePausedMemory(paths, row.id), { signal });
    if (capture.spareBase !== undefined) turn.based(capture.spareBase);
    crashPoint("pause.capture-begun");
    progress.stage("freeze");
    context.sessions.hold(row.id);
    await freeze(agent, { sync: true, signal });
    crashPoint("pause.frozen");
    progress.stage("save");
    // Stopping flushes the disks, too: what the guest believes to be written is.
    await machine.pause();
    await capture.finish({ signal });
    crashPoint("pause.captured");
  }
  await publishPausedMemory(paths, row.id, { fingerprint, at: Date.now() });
  crashPoint("pause.published");
  signal.throwIfAborted();
  context.state.vms.update(row.id, { state: "paused", reason: "" });
};

/** The VM is paused already: what fails now must not take its memory away. */
async function letGo(context: VmContext, row: VmRow, session: Session): Promise<void> {
  // First: the end of its machine is no end of the VM.
  context.sessions.drop(row.id);
  await endMachine(session, wasPaused(row));
  await context.networks.end(row.id);
  crashPoint("pause.ended");
}

async function freeze(agent: GuestAgent, options: { sync: boolean; signal: AbortSignal }): Promise<void> {
  using limit = deadline(options.signal, freezeTimeoutMs, () => {
    const slow = `the guest did not stop its processes within ${freezeTimeoutMs / 1000} s`;
    return new BangerError("snapshot.failed", slow);
  });
  await agent.freeze({ sync: options.sync, signal: limit.signal });
}

/** The memory must be gone before the CPUs run, else a later resume would put it above disks that have moved on. */
async function undoPause(context: VmContext, row: VmRow, session: Session): Promise<void> {
  const { log, paths, sessions, state } = context;
  try {
    await spendPausedMemory(paths, row.id);
    await goOn(context, row, session);
  } catch (thrown) {
    // A machine that has ended, or is being ended, has told so already.
    if (sessions.get(row.id) === session && !session.ending) {
      const reason = `it could not go on after a pause that failed: ${toBangerError(thrown).message}`;
      log.error("a VM could not go on", { vm: row.id, error: thrown });
      state.vms.update(row.id, { state: "broken", reason });
    }
  }
  try {
    await removeLeftovers(paths, row.id);
  } catch (error) {
    log.error("the remains of a pause could not be removed", { vm: row.id, error });
  }
}

async function goOn(context: VmContext, row: VmRow, session: Session): Promise<void> {
  using limit = deadline(neverAborted, wakeTimeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${wakeTimeoutMs / 1000} s`);
  });
  await session.machine.resume();
  context.sessions.release(row.id);
  await wakeGuest(await orAborted(session.agent, limit.signal), row.id, { signal: limit.signal });
}

const neverAborted = new AbortController().signal;
