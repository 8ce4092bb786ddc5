// Ends a running VM: cleanly through its agent, by force when that takes too long, or at once.
import { deadline, orAborted } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import type { VmRow } from "../state/vms.ts";
import type { VmContext } from "./context.ts";
import { removeLeftovers, spendPausedMemory } from "./paused-memory.ts";
import { resumeVm } from "./resume.ts";
import { wasEnded, wasStopped } from "./cut-off.ts";
import { announceEnd, endMachine } from "./sessions.ts";

/** What still runs in the guest gets TERM, and KILL after this. */
const processGraceMs = 2000;

/** What "vm run" runs is asked first, by the image's stop signal, and gets this share of the stop timeout. */
const mainShare = 0.5;

/** The image's init ends its services one after the other: it gets that many stop timeouts for it, and the agent one more for the rest. */
const initShare = 2;

/**
 * Stops the VM, which goes on for that when it is paused: the agent ends processes, syncs, unmounts and powers off; a guest that does not manage in time is killed.
 * The caller holds the lock. Can be cancelled until the guest was asked; from then on it goes to its end. A VM that cannot be resumed
 * stays paused: throws as `resumeVm` does. Idempotent.
 */
export async function stopVm(
  context: VmContext,
  row: VmRow,
  progress: Progress,
  { reason = "", why = wasStopped(row, reason) }: StopOptions = {},
): Promise<void> {
  if (row.state === "paused") await resumeToStop(context, row, progress);
  const session = context.sessions.get(row.id);
  if (session !== undefined && row.state !== "broken") {
    progress.signal.throwIfAborted();
    progress.stage("shutdown");
    context.state.vms.update(row.id, { state: "stopping" });
    crashPoint("stop.recorded");
    announceEnd(session, why);
    const [graceMs, stopTimeoutMs] = limits(context, row);
    const mainGraceMs = mainShare * context.settings.stopTimeoutMs;
    using limit = deadline(
      neverAborted,
      stopTimeoutMs,
      () => new BangerError("timeout", `the guest did not power off within ${stopTimeoutMs / 1000} s`),
    );
    try {
      const agent = await orAborted(session.agent, limit.signal);
      await agent.shutdown({ graceMs, mainGraceMs, signal: limit.signal });
      crashPoint("stop.asked");
      await orAborted(session.machine.exited, limit.signal);
      crashPoint("stop.powered-off");
    } catch (error) {
      context.log.warn("clean shutdown failed; ending the VMM", { vm: row.id, error: toBangerError(error).message });
    }
  }
  await killVm(context, row, { reason, why });
}

function limits(context: VmContext, row: VmRow): [graceMs: number, totalMs: number] {
  const { stopTimeoutMs } = context.settings;
  if (row.init === null) return [processGraceMs, stopTimeoutMs];
  return [initShare * stopTimeoutMs, (initShare + 1) * stopTimeoutMs];
}

async function resumeToStop(context: VmContext, row: VmRow, progress: Progress): Promise<void> {
  try {
    await resumeVm(context, row, progress);
  } catch (thrown) {
    progress.signal.throwIfAborted();
    if (context.state.vms.get(row.id)?.state !== "paused") return;
    const { code, message } = toBangerError(thrown);
    throw new BangerError(code, `VM "${row.name}" could not be resumed to shut down cleanly: ${message}`, {
      hint: `banger vm kill ${row.name}  # ends it without a shutdown`,
      cause: thrown,
    });
  }
}

export interface StopOptions {
  /** Why, for the record; "" when somebody asked for it. */
  reason?: string | undefined;
  /** What those are told who work with the guest, unless the machine is being ended already. Default: that the VM was stopped, or ended. */
  why?: BangerError | undefined;
}

/** Ends the VMM at once, and gives up the memory of a paused VM; the disks stay as they are. The caller holds the lock. Idempotent. */
export async function killVm(
  context: VmContext,
  row: VmRow,
  { reason = "", why = wasEnded(row, reason) }: StopOptions = {},
): Promise<void> {
  const session = context.sessions.get(row.id);
  if (session !== undefined) {
    await endMachine(session, session.why ?? why);
    crashPoint("stop.ended");
    context.sessions.drop(row.id);
  }
  await context.networks.end(row.id);
  // Before the record: memory that is there belongs to a VM that is paused.
  await spendPausedMemory(context.paths, row.id);
  crashPoint("stop.memory-spent");
  await removeLeftovers(context.paths, row.id);
  crashPoint("stop.memory-removed");
  if (row.state !== "created") context.state.vms.update(row.id, { state: "stopped", reason, bootId: null });
  crashPoint("stop.done");
}

const neverAborted = new AbortController().signal;
