// What a daemon does first: compares what is recorded with what runs and what lies on the disk, and makes them agree.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { vmPaths } from "../config/paths.ts";
import type { GuestAgent } from "../guest/agent.ts";
import { deadline } from "../lib/abort.ts";
import { BangerError } from "../lib/errors.ts";
import { removeInside } from "../lib/files.ts";
import type { VmRow } from "../state/vms.ts";
import type { Machine } from "../vmm/driver.ts";
import type { VmContext } from "./context.ts";
import { removeVm } from "./remove.ts";

/** How long an agent may take to answer a daemon that came back. */
const reconnectTimeoutMs = 15_000;

/**
 * Finds running VMs again, marks those that are gone as stopped, ends VMMs whose VM has no record or was half started, removes
 * directories without a record, and removes VMs that were to live only as long as their client. Idempotent.
 */
export async function recoverVms(context: VmContext, options: { signal: AbortSignal }): Promise<void> {
  const live = await context.driver.list(context.paths.homeId);
  await Promise.all(context.state.vms.list().map((row) => recoverVm(context, row, live.get(row.id), options.signal)));
  const known = new Set(context.state.vms.list().map((row) => row.id));
  for (const [vmId, pid] of live) {
    if (known.has(vmId)) continue;
    context.log.warn("ending a VMM that has no record", { vm: vmId, pid });
    await context.driver.killOrphan(vmId, context.paths.homeId, pid);
  }
  for (const name of await readdir(context.paths.vmsDir)) {
    if (known.has(name)) continue;
    context.log.warn("removing a VM directory that has no record", { dir: name });
    await removeInside(context.paths.vmsDir, join(context.paths.vmsDir, name));
  }
}

async function recoverVm(context: VmContext, row: VmRow, pid: number | undefined, signal: AbortSignal): Promise<void> {
  const { log, state } = context;
  if (row.state === "running" && !row.autoRemove) {
    const machine = await context.driver.find(row.id, vmPaths(context.paths, row.id).dir, { signal });
    if (machine !== undefined) {
      log.info("found a running VM again", { vm: row.id, pid: machine.pid });
      context.sessions.adopt(machine, reconnectGuest(context, row.id, machine));
      return;
    }
  }
  if (pid !== undefined) {
    log.warn("ending a VMM that was left in between", { vm: row.id, pid, state: row.state });
    await context.driver.killOrphan(row.id, context.paths.homeId, pid);
  }
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
}

const interruption: Partial<Record<VmRow["state"], string>> = {
  running: "its VMM was gone when the daemon started (host restart, or ended from outside)",
  starting: "the daemon ended while the VM was starting",
  stopping: "",
  broken: "it was broken when the daemon ended",
};

/** A new session with the agent of a machine that runs already. Throws when it is another VM's, or not in service. */
export async function reconnectGuest(context: VmContext, vmId: string, machine: Machine): Promise<GuestAgent> {
  using limit = deadline(neverAborted, reconnectTimeoutMs, () => {
    return new BangerError("guest.unreachable", `the guest did not answer within ${reconnectTimeoutMs / 1000} s`);
  });
  const channel = await machine.controlChannel({ signal: limit.signal });
  const agent = await context.connectGuest(channel, { signal: limit.signal });
  const hello = await agent.hello({ signal: limit.signal });
  if (hello.vmId !== vmId || hello.phase !== "running") {
    await agent[Symbol.asyncDispose]();
    throw new BangerError("guest.protocol", `the guest says it is "${hello.vmId}" in phase "${hello.phase}"`);
  }
  return agent;
}

const neverAborted = new AbortController().signal;
