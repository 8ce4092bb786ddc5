// What a daemon does first: compares what is recorded with what runs and what lies on the disk, and makes them agree.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { vmPaths } from "../config/paths.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { deadline } from "../lib/abort.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { removeInside, removeUnfinished } from "../lib/files.ts";
import type { VmRow } from "../state/vms.ts";
import type { Machine } from "../vmm/driver.ts";
import type { VmContext } from "./context.ts";
import { hasSpentMemory, readPausedMemory, removeLeftovers, spendPausedMemory } from "./paused-memory.ts";
import { removeVm } from "./remove.ts";
import { adoptDisks } from "./snapshot/frozen-disks.ts";
import { wakeGuest } from "./wake-guest.ts";

/** How long an agent may take to answer a daemon that came back. */
const reconnectTimeoutMs = 15_000;

/**
 * Finds running VMs again, marks those that are gone as stopped, ends VMMs whose VM has no record or was half started, removes
 * directories without a record, and removes VMs that were to live only as long as their client. Idempotent.
 */
export async function recoverVms(context: VmContext, options: { signal: AbortSignal }): Promise<void> {
  const live = await context.driver.list(context.paths.homeId);
  const recover = async (row: VmRow) => {
    try {
      await recoverVm(context, row, live.get(row.id), options.signal);
    } catch (error) {
      options.signal.throwIfAborted();
      // One VM that is beyond repair must not keep the daemon from all others.
      context.log.error("a VM could not be recovered", { vm: row.id, error });
      if (context.state.vms.get(row.id) === undefined) return;
      context.state.vms.update(row.id, { state: "broken", reason: toBangerError(error).message, bootId: null });
    }
  };
  await Promise.all(context.state.vms.list().map(recover));
  const known = new Set(context.state.vms.list().map((row) => row.id));
  for (const [vmId, pid] of live) {
    if (known.has(vmId)) continue;
    context.log.warn("ending a VMM that has no record", { vm: vmId, pid });
    await orLogged(context, vmId, context.driver.killOrphan(vmId, context.paths.homeId, pid));
  }
  for (const name of await readdir(context.paths.vmsDir)) {
    if (known.has(name)) {
      await orLogged(context, name, removeUnfinished(join(context.paths.vmsDir, name)));
      continue;
    }
    context.log.warn("removing a VM directory that has no record", { dir: name });
    await orLogged(context, name, removeInside(context.paths.vmsDir, join(context.paths.vmsDir, name)));
  }
}

/** What cannot be cleaned up now is tried again by the next daemon. */
async function orLogged(context: VmContext, vmId: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    context.log.error("the remains of a VM could not be removed", { vm: vmId, error });
  }
}

async function recoverVm(context: VmContext, row: VmRow, pid: number | undefined, signal: AbortSignal): Promise<void> {
  const { driver, log, paths, state } = context;
  if (!row.autoRemove && (row.state === "running" || row.state === "paused")) {
    if ((await readPausedMemory(paths, row.id)) !== undefined) {
      await recoverPaused(context, row, pid, signal);
      return;
    }
    const machine = await driver.find(row.id, vmPaths(paths, row.id).dir, { signal });
    if (machine !== undefined) {
      try {
        await adoptMachine(context, row, machine);
      } catch (error) {
        // Known all the same: a verb must be able to end it.
        if (context.sessions.get(row.id) === undefined) context.sessions.adoptStill(machine);
        throw error;
      }
      return;
    }
  }
  if (pid !== undefined) log.warn("ending a VMM that was left in between", { vm: row.id, pid, state: row.state });
  await endMachine(context, row, pid, signal);
  if (row.autoRemove) {
    log.info("removing a VM whose client is gone", { vm: row.id });
    await removeVm(context, row);
    return;
  }
  const reason = interruption[row.state];
  if (reason !== undefined) {
    log.info("VM is stopped", { vm: row.id, was: row.state, reason });
    state.vms.update(row.id, { state: "stopped", reason, bootId: null });
  }
  await spendPausedMemory(paths, row.id);
  await removeLeftovers(paths, row.id);
}

/**
 * The memory is on the disk, whole and not used: a VMM that is there all the same was about to end, or was not allowed to run yet.
 */
async function recoverPaused(
  context: VmContext,
  row: VmRow,
  pid: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { log, paths, state } = context;
  if (pid !== undefined) log.info("ending the VMM of a paused VM", { vm: row.id, pid });
  await endMachine(context, row, pid, signal);
  if (row.state !== "paused") state.vms.update(row.id, { state: "paused", reason: "" });
  await removeLeftovers(paths, row.id);
}

/** Ends the VMM of a VM that is not to have one, and removes the sockets and the identity that it, or one before it, has left. */
async function endMachine(
  { driver, paths }: VmContext,
  row: VmRow,
  pid: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (pid !== undefined) await driver.killOrphan(row.id, paths.homeId, pid);
  else if (row.state === "created" || row.state === "stopped") return;
  // There is none to be found, and the search cleans up.
  await driver.find(row.id, vmPaths(paths, row.id).dir, { signal });
}

/**
 * Takes over a machine that runs. CPUs that stand still were stopped by a pause that keeps the VMM, which the record says; or for a
 * capture that was not finished, or before a resume was over: then the VM goes on. So does a guest that is frozen (`reconnectGuest`).
 */
async function adoptMachine(context: VmContext, row: VmRow, machine: Machine): Promise<void> {
  const { log, paths, sessions, state } = context;
  const still = await machine.isPaused();
  await adoptDisks(context, row, machine);
  const keptStill = still && row.state === "paused" && !hasSpentMemory(paths, row.id);
  log.info("found a running VM again", { vm: row.id, pid: machine.pid, still, keptStill });
  if (keptStill) {
    sessions.adoptStill(machine);
  } else {
    if (row.state === "paused") state.vms.update(row.id, { state: "running", reason: "" });
    if (still) await machine.resume();
    sessions.adopt(machine);
  }
  await removeLeftovers(paths, row.id);
}

const interruption: Partial<Record<VmRow["state"], string>> = {
  running: "its VMM was gone when the daemon started (host restart, or ended from outside)",
  paused: "its VMM was gone when the daemon started, and the memory with it",
  starting: "the daemon ended while the VM was starting",
  stopping: "",
  broken: "it was broken when the daemon ended",
};

/**
 * A new session with the agent of a machine that runs already; a guest that was left frozen goes on. Throws when it is another VM's, or
 * not in service.
 */
export async function reconnectGuest(
  context: Pick<VmContext, "connectGuest">,
  machine: Machine,
  options: { signal: AbortSignal },
): Promise<GuestAgent> {
  using limit = deadline(options.signal, reconnectTimeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${reconnectTimeoutMs / 1000} s`);
  });
  const channel = await machine.controlChannel({ signal: limit.signal });
  await using undo = new AsyncDisposableStack();
  const agent = undo.use(await context.connectGuest(channel, { signal: limit.signal }));
  await wakeGuest(agent, machine.vmId, { signal: limit.signal });
  undo.move();
  return agent;
}
