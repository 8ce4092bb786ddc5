// Starts a VM: from the memory of a template when there is one, else by a boot; then it is told who it is. Whatever way it
// came up, a failure leaves nothing running and the reason in its record.
import { vmPaths } from "../config/paths.ts";
import { crashPoint } from "../lib/crash-point.ts";
import type { GuestConfig } from "../guest/agent.ts";
import { toBangerError } from "../lib/errors.ts";
import { withSignal, type Progress } from "../lib/progress.ts";
import { undone } from "../lib/undo.ts";
import type { VmRow } from "../state/vms.ts";
import { restoreOrBoot } from "./bring-up.ts";
import type { VmContext } from "./context.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { authorizedKeys, guestConfig, newIdentity } from "./guest-identity.ts";
import { prepareDisks } from "./fresh-root.ts";
import { machineSpec } from "./machine-spec.ts";
import { startOf } from "./machine-shape.ts";
import { beginNetwork } from "./network/network-use.ts";
import { PhaseClock } from "./phases.ts";

export interface StartOptions {
  /** Boot, although memory could be restored. Default false. */
  cold?: boolean | undefined;
  /** Runs since the request. */
  clock?: PhaseClock;
}

/**
 * Starts the VM of `row`; the caller holds its lock and has checked that it does not run. On success it is "running".
 * On failure nothing runs, the VM is "stopped" (or "broken" when the guest broke the rules) with the reason, and the error
 * (`vm.boot-failed`, `vm.boot-timeout`, `vmm.failed`, a store's) carries the end of the console.
 */
export async function startVm(
  context: VmContext,
  row: VmRow,
  progress: Progress,
  options: StartOptions = {},
): Promise<void> {
  const { state, starting } = context;
  const cut = new AbortController();
  starting.set(row.id, cut);
  try {
    if (row.state !== "starting") state.vms.update(row.id, { state: "starting", reason: "" });
    crashPoint("start.recorded");
    const both = AbortSignal.any([progress.signal, cut.signal]);
    await bringUp(context, row, withSignal(progress, both), { clock: new PhaseClock(), ...options });
  } catch (thrown) {
    const error = toBangerError(thrown);
    const broken = error.code === "guest.protocol";
    const change = { state: broken ? "broken" : "stopped", reason: error.message, bootId: null } as const;
    throw await undone(thrown, () => state.vms.update(row.id, change));
  } finally {
    starting.delete(row.id);
  }
}

async function bringUp(
  context: VmContext,
  row: VmRow,
  progress: Progress,
  options: StartOptions & { clock: PhaseClock },
): Promise<void> {
  const { signal } = progress;
  const { clock } = options;
  await using undo = new AsyncDisposableStack();
  const network = undo.use(beginNetwork(context, row, { signal }));
  progress.stage("prepare", "disks and initramfs");
  const image = context.images.resolve(row.imageId);
  const cold = options.cold ?? false;
  const described = machineSpec(context, row, { signal });
  const prints = described.then((it) => fingerprintOf(context.driver, it, { signal }));
  const disks = prints.then((shape) => prepareDisks(context, row, { image, shape, cold, signal }));
  undo.defer(() => disks.then((it) => it.own?.[Symbol.dispose]()).catch(() => {}));
  const [spec, fingerprint, keys, git, { own, root }] = await together([
    described,
    prints,
    authorizedKeys(context, { signal }),
    context.hostFiles?.gitIdentity({ signal }) ?? Promise.resolve(undefined),
    disks,
  ]);
  clock.end("prepare");
  crashPoint("start.prepared");

  const identity = newIdentity(row, keys);
  const { consoleLog } = vmPaths(context.paths, row.id);
  const guest = {
    spec,
    config: withSecrets(context, row, { ...guestConfig(identity, image, row), ...(git && { git }) }),
    consoleLog,
    imageName: row.imageName,
    network,
  };
  const up = await restoreOrBoot(context, guest, progress, { fingerprint, cold, clock, own });
  undo.defer(() => up.machine.kill());
  undo.use(up.agent);
  if (secretsOf(row).length > 0) await context.secrets.trust(up.agent, { signal });
  const leftOut = await context.hostFiles?.copy(up.agent, progress);
  if (leftOut !== undefined) clock.end("files");
  signal.throwIfAborted();
  const lastStart = startOf(clock.record(up.kind, up.reason), row.spec);
  const { bootId } = identity;
  context.state.vms.update(row.id, {
    state: "running",
    reason: "",
    bootId,
    startedAt: Date.now(),
    lastStart,
    fingerprint,
  });
  crashPoint("start.running");
  undo.move();
  context.sessions.adopt(up.machine, up.agent);
  // What stands here at the end is told to who asked for the start.
  progress.stage("ready", leftOut);

  context.log.info("VM started", { vm: row.id, ...lastStart, phases: lastStart.phases, steps: up.steps });
  context.starts.add(lastStart);
  const { vcpus, memoryMib, initrd } = spec;
  const shape = { fingerprint, kernel: context.kernels.resolve(row.kernelId), initrd, vcpus, memoryMib };
  // One after the other: that of an image is made of that of the shape.
  if (up.kind === "cold") context.templates.want(shape);
  else if (up.kind === "template" && root !== undefined) context.templates.want({ ...shape, ...root });
}

/** With the placeholders of the secrets that its requests may use. */
function withSecrets({ secrets }: VmContext, row: VmRow, config: GuestConfig): GuestConfig {
  return { ...config, environment: [...config.environment, ...secrets.environmentFor(secretsOf(row))] };
}

function secretsOf({ network }: Pick<VmRow, "network">): readonly string[] {
  return network === null || network.mode === "none" ? [] : network.secrets;
}

/** All results, or the first error once all have ended: what they make may be removed then. */
async function together<T extends unknown[]>(work: { [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const settled = await Promise.allSettled(work);
  for (const one of settled) if (one.status === "rejected") throw one.reason;
  return await Promise.all(work);
}
