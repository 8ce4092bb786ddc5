// From a machine's specification to a guest that is the VM it should be: memory of a template, or a boot when there is none or it fails.
import { availableParallelism } from "node:os";
import type { GuestConfig, GuestSteps } from "../guest/agent.ts";
import { deadline } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { toBangerError } from "../lib/errors.ts";
import { withSignal, type Progress } from "../lib/progress.ts";
import { Turns } from "../lib/turns.ts";
import { undone } from "../lib/undo.ts";
import type { MachineSpec } from "../vmm/driver.ts";
import { bootError } from "./boot-error.ts";
import type { TemplateUse, VmContext } from "./context.ts";
import type { NetworkUse } from "./network/network-use.ts";
import type { PhaseClock } from "./phases.ts";
import { powerOn } from "./power-on.ts";
import { restoreGuest, type ReachedGuest } from "./reach-guest.ts";

/** What is to come up. */
export interface GuestPlan {
  spec: MachineSpec;
  config: GuestConfig;
  consoleLog: string;
  /** For people. */
  imageName: string;
  /** Absent: the VM has none. */
  network?: Pick<NetworkUse, "guest" | "attached">;
}

export interface ConfiguredGuest extends ReachedGuest {
  kind: "image" | "template" | "cold";
  /** Why it is a boot although memory could have been restored; else empty. */
  reason: string;
  steps: GuestSteps;
}

/**
 * Guests that come up from templates at the same time. Each has work for more than one processor: with more of them than this,
 * their processors wait for one another, and all are late. For the whole process, as the host's processors are.
 */
const restores = new Turns(availableParallelism() + 1);

export interface RestoreOptions {
  fingerprint: string;
  /** Boot, although memory could be restored. */
  cold: boolean;
  clock: PhaseClock;
  /** A template of the VM's image, of which its disks were made. Owned by the call. */
  own?: TemplateUse | undefined;
}

type Parts = Pick<VmContext, "driver" | "connectGuest" | "settings" | "log" | "templates">;

/** A restore takes some tenths of a second: one that has not ended after this part of the boot timeout never will. */
const restoreShare = 1 / 4;

/**
 * Restores `own`, or else the template of `fingerprint`, and configures its guest; boots instead when there is no template, when `cold` asks for it, or
 * when the restore fails in any way. The caller owns the results; after a failure nothing runs. Throws as `powerOn` does,
 * `vm.boot-failed` and `vm.boot-timeout` with the console's end, or the signal's reason.
 */
export async function restoreOrBoot(
  parts: Parts,
  plan: GuestPlan,
  progress: Progress,
  options: RestoreOptions,
): Promise<ConfiguredGuest> {
  const { clock, cold, fingerprint, own } = options;
  const template = own ?? (cold ? undefined : parts.templates.take(fingerprint));
  if (template === undefined) {
    return { ...(await boot(parts, plan, progress, clock)), kind: "cold", reason: cold ? "it was asked for" : "" };
  }
  const phases = clock.count;
  try {
    const guest = await fromTemplate(parts, template, plan, progress, clock);
    return { ...guest, kind: own === undefined ? "template" : "image", reason: "" };
  } catch (thrown) {
    progress.signal.throwIfAborted();
    if (isInitFailure(plan.config, thrown)) throw thrown;
    // Nor is the template to blame for what carries the network.
    if (toBangerError(thrown).code.startsWith("network.")) throw thrown;
    clock.fold(phases, "failed restore");
    const { code, message } = toBangerError(thrown);
    const reason = `its template could not be restored: ${message.split("\n")[0] ?? ""}`;
    parts.log.warn("a template could not be restored: booting instead", {
      vm: plan.spec.vmId,
      template: template.id,
      code,
      reason: message,
    });
    const booted = await boot(parts, plan, progress, clock);
    // The same machine comes up by a boot, so it was the template.
    await parts.templates.discard(template.id, thrown);
    return { ...booted, kind: "cold", reason };
  }
}

/** The image's init is the same in any machine: neither is the template to blame, nor would a boot help. */
function isInitFailure({ init }: GuestConfig, thrown: unknown): boolean {
  return init !== undefined && toBangerError(thrown).message.includes(`: init: ${init}: `);
}

async function fromTemplate(
  parts: Parts,
  template: TemplateUse,
  plan: GuestPlan,
  progress: Progress,
  clock: PhaseClock,
): Promise<ReachedGuest & { steps: GuestSteps }> {
  using use = template;
  const { consoleLog, spec } = plan;
  using _turn = restores.tryTake() ?? (await nextTurn(progress, clock));
  progress.stage("restore", `${spec.vcpus} vcpu, ${spec.memoryMib} MiB`);
  const limitMs = parts.settings.bootTimeoutMs * restoreShare;
  using limit = deadline(progress.signal, limitMs, () =>
    bootError("vm.boot-timeout", `the restored guest was not configured within ${limitMs / 1000} s`, consoleLog),
  );
  const { signal } = limit;
  const guest = await restoreGuest(parts, spec, use.capture, { clock, consoleLog, signal });
  return await configured(guest, plan, withSignal(progress, signal), clock);
}

async function nextTurn(progress: Progress, clock: PhaseClock): Promise<Disposable> {
  progress.stage("queue", "others are being restored");
  const turn = await restores.take(progress.signal);
  clock.end("queue");
  return turn;
}

async function boot(
  parts: Parts,
  plan: GuestPlan,
  progress: Progress,
  clock: PhaseClock,
): Promise<ReachedGuest & { steps: GuestSteps }> {
  const { consoleLog, spec } = plan;
  progress.stage("boot", `${spec.vcpus} vcpu, ${spec.memoryMib} MiB`);
  const guest = await powerOn(parts, spec, { consoleLog, signal: progress.signal, clock });
  const { bootTimeoutMs } = parts.settings;
  using limit = deadline(progress.signal, bootTimeoutMs, () => {
    const late = `the guest was up, but was not configured within ${bootTimeoutMs / 1000} s`;
    return bootError("vm.boot-timeout", late, consoleLog);
  });
  const warmed = { ...plan, config: { ...plan.config, warmUp: true } };
  return await configured(guest, warmed, withSignal(progress, limit.signal), clock);
}

/** Tells the guest who it is. Owns the guest until it returns. */
async function configured(
  guest: ReachedGuest,
  plan: GuestPlan,
  progress: Progress,
  clock: PhaseClock,
): Promise<ReachedGuest & { steps: GuestSteps }> {
  const { signal } = progress;
  progress.stage("configure", plan.imageName);
  try {
    const network = await plan.network?.guest({ signal });
    const config = { ...plan.config, ...(network && { network }) };
    // Asked together, so Hello may already speak of the configuration: a guest that was not waiting for one refuses it.
    const [, steps] = await Promise.all([
      guest.agent.hello({ signal }).then(() => clock.end("hello")),
      guest.agent.configure(config, { signal }),
      plan.network?.attached({ signal }),
    ]);
    clock.end("configure");
    crashPoint("start.configured");
    return { ...guest, steps };
  } catch (thrown) {
    const failure = await undone(
      thrown,
      () => guest.agent[Symbol.asyncDispose](),
      () => guest.machine.kill(),
    );
    const error = toBangerError(failure);
    if (error.code !== "guest.failed") throw failure;
    throw bootError("vm.boot-failed", `the guest could not be configured: ${error.message}`, plan.consoleLog, error);
  }
}
