// Starts a VM from a snapshot: its guest wakes up frozen and becomes this VM before any process of it runs.
import { vmPaths } from "../../config/paths.ts";
import { deadline, orAborted } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import type { GuestAgent } from "../../guest/agent.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { withSignal, type Progress } from "../../lib/progress.ts";
import { undone } from "../../lib/undo.ts";
import type { VmRow } from "../../state/vms.ts";
import type { MachineCapture, MachineSpec, Standby } from "../../vmm/driver.ts";
import type { VmContext } from "../context.ts";
import { authorizedKeys, newIdentity } from "../guest-identity.ts";
import { startOf } from "../machine-shape.ts";
import { machineSpec } from "../machine-spec.ts";
import { beginNetwork, hasNetwork } from "../network/network-use.ts";
import { PhaseClock } from "../phases.ts";
import { greet, restoreGuest } from "../reach-guest.ts";
import { startVm } from "../start.ts";
import type { Origin } from "./origin.ts";
import type { Taking } from "./taking.ts";

/**
 * Starts the VM of `row`, whose disks rest on the origin's snapshot; the caller holds its lock. Without memory that fits, or when the
 * VMM refuses it, the VM boots. On success it is "running"; on failure nothing runs and it is "stopped" with the reason. Throws as
 * `startVm` and `restoreGuest` do, or `guest.failed` when the guest could not become this VM. `keep`: from its start on it does not go
 * with its client any more; default false.
 */
export async function goOnFrom(
  context: VmContext,
  row: VmRow,
  origin: Origin,
  progress: Progress,
  options: { keep?: boolean } = {},
): Promise<void> {
  const { capture } = origin;
  if (capture === undefined) return await boot(context, row, origin.reason, progress);
  const { state, starting } = context;
  const cut = new AbortController();
  starting.set(row.id, cut);
  try {
    if (row.state !== "starting") state.vms.update(row.id, { state: "starting", reason: "" });
    const both = AbortSignal.any([progress.signal, cut.signal]);
    await restore(context, row, origin, capture, withSignal(progress, both), options);
    return;
  } catch (thrown) {
    const error = toBangerError(thrown);
    if (error.code !== "snapshot.incompatible" || origin.taking?.failed === true) {
      const broken = error.code === "guest.protocol";
      const change = { state: broken ? "broken" : "stopped", reason: error.message, bootId: null } as const;
      throw await undone(thrown, () => state.vms.update(row.id, change));
    }
    const snapshot = origin.snapshot.id;
    context.log.warn("the VMM refuses the memory of a snapshot: booting from its disks", {
      vm: row.id,
      snapshot,
      error,
    });
    cut.signal.throwIfAborted();
    await boot(context, { ...row, state: "starting" }, error.message, progress);
  } finally {
    starting.delete(row.id);
  }
}

async function boot(context: VmContext, row: VmRow, reason: string, progress: Progress): Promise<void> {
  await startVm(context, row, progress, reason === "" ? {} : { cold: true });
  const { lastStart } = context.state.vms.get(row.id) ?? {};
  if (reason !== "" && lastStart) context.state.vms.update(row.id, { lastStart: { ...lastStart, reason } });
}

async function greetFrozen(agent: GuestAgent, vmId: string, options: { signal: AbortSignal }): Promise<void> {
  const hello = await greet(agent, "frozen", options);
  if (hello.vmId === vmId) return;
  throw new BangerError("guest.protocol", `the guest says it was "${hello.vmId}" instead of "${vmId}"`);
}

/**
 * Has a VMM started as soon as the files of the capture are laid out, beside the rest of the capture. Dispose ends it, unless it was
 * given away.
 */
function standByFor(
  { driver }: VmContext,
  taking: Taking,
  preparing: Promise<[MachineSpec, ...unknown[]]>,
  capture: MachineCapture,
  { signal }: Progress,
): { ready: Promise<Standby> } & AsyncDisposable {
  const over = new AbortController();
  const ready = Promise.all([preparing, taking.laidOut]).then(([[spec]]) => {
    const either = AbortSignal.any([signal, over.signal]);
    either.throwIfAborted();
    return driver.standBy(spec, capture, { signal: either, memoryChanges: !taking.handsOver });
  });
  ready.catch(() => {});
  taking.offer(ready);
  return {
    ready,
    async [Symbol.asyncDispose]() {
      over.abort(new BangerError("cancelled", "it is not needed any more"));
      const standby = await ready.catch(() => undefined);
      await standby?.[Symbol.asyncDispose]();
    },
  };
}

async function restore(
  context: VmContext,
  row: VmRow,
  { snapshot, taking }: Origin,
  capture: MachineCapture,
  progress: Progress,
  { keep = false }: { keep?: boolean },
): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const network = undo.use(beginNetwork(context, row, progress));
  const preparing = Promise.all([machineSpec(context, row, progress), authorizedKeys(context, progress)]);
  const standby = taking && undo.use(standByFor(context, taking, preparing, capture, progress));
  // Until then the machine that is captured writes to its memory, and to the disks below ours.
  const ready = Promise.all([taking?.captured, preparing]);
  ready.catch(() => {});
  if (taking !== undefined) await orAborted(ready, progress.signal);
  const clock = new PhaseClock();
  const { bootTimeoutMs } = context.settings;
  using limit = deadline(progress.signal, bootTimeoutMs, () => {
    return new BangerError("vm.boot-timeout", `the restored guest did not go on within ${bootTimeoutMs / 1000} s`);
  });
  const { signal } = limit;
  progress.stage("restore", `${row.spec.vcpus} vcpu, ${row.spec.memoryMib} MiB`);
  const [spec, keys] = await preparing;
  const identity = newIdentity(row, keys);
  clock.end("prepare");

  const { consoleLog } = vmPaths(context.paths, row.id);
  const { machine, agent } = await restoreGuest(context, spec, capture, {
    clock,
    consoleLog,
    signal,
    ...(standby === undefined ? {} : { standby: standby.ready }),
  });
  undo.defer(() => machine.kill());
  undo.use(agent);
  // What was captured a moment ago is who it is: to ask would take as long as to tell.
  if (taking === undefined) await greetFrozen(agent, snapshot.vmId, { signal });
  clock.end("hello");
  const guestNetwork = await network.guest({ signal });
  if (guestNetwork !== undefined) identity.network = guestNetwork;
  // Before any process runs, so that none of them sees it missing.
  await network.attached({ signal });
  const steps = await agent.thaw({ identity, signal });
  // Its memory has an interface whose other end is not there any more: what uses it would wait instead of being refused.
  if (hasNetwork(snapshot) && !hasNetwork(row)) await agent.setNetwork(undefined, { signal });
  crashPoint("fork.thawed");
  clock.end("configure");
  if (taking !== undefined) await orAborted(taking.taken, signal);
  signal.throwIfAborted();

  const lastStart = startOf(clock.record("snapshot"), row.spec);
  const { bootId } = identity;
  context.state.vms.update(row.id, {
    state: "running",
    reason: "",
    bootId,
    startedAt: Date.now(),
    lastStart,
    fingerprint: snapshot.fingerprint,
    ...(keep ? { autoRemove: false } : {}),
  });
  crashPoint("fork.running");
  undo.move();
  context.sessions.adopt(machine, agent);
  progress.stage("ready");
  context.log.info("VM goes on from a snapshot", { vm: row.id, snapshot: snapshot.id, ...lastStart, steps });
  context.starts.add(lastStart);
}
