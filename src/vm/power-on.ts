// From a machine's specification to a guest that has said Hello, or nothing left running and an error with the console's end.
import { deadline } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError } from "../lib/errors.ts";
import { undone } from "../lib/undo.ts";
import type { MachineSpec } from "../vmm/driver.ts";
import { bootError } from "./boot-error.ts";
import { consoleTail } from "./console-log.ts";
import type { VmContext } from "./context.ts";
import type { PhaseClock } from "./phases.ts";
import { openGuest, type ReachedGuest } from "./reach-guest.ts";

/**
 * Part of the boot timeout after which a guest that is silent is powered on once more. An emulated kernel hangs early in one of
 * some hundred boots; the second boot of the same machine is as good as the first, as nothing was given to the guest yet.
 */
const firstShare = 1 / 3;

type Parts = Pick<VmContext, "driver" | "connectGuest" | "settings" | "log">;

export interface PowerOnOptions {
  consoleLog: string;
  signal: AbortSignal;
  /** Its phases spawn and boot are ended. */
  clock?: PhaseClock;
  /** Others that want the host's processors go first. Default false. */
  background?: boolean;
}

/**
 * Launches the machine and waits for its guest, all in all `settings.bootTimeoutMs`. The caller owns both results.
 * Throws `vm.boot-timeout`, `vm.boot-failed` (the VMM ended), `guest.protocol`, what `launch` throws, or the signal's reason.
 */
export async function powerOn(parts: Parts, spec: MachineSpec, options: PowerOnOptions): Promise<ReachedGuest> {
  const { consoleLog, clock } = options;
  const { bootTimeoutMs } = parts.settings;
  using whole = deadline(options.signal, bootTimeoutMs, () =>
    bootError("vm.boot-timeout", `the guest did not say Hello within ${bootTimeoutMs / 1000} s`, consoleLog),
  );
  const firstMs = bootTimeoutMs * firstShare;
  const silence = new BangerError("vm.boot-timeout", `no Hello within ${firstMs / 1000} s`);
  const phases = clock?.count ?? 0;
  using first = deadline(whole.signal, firstMs, () => silence);
  try {
    return await attempt(parts, spec, { ...options, signal: first.signal });
  } catch (error) {
    if (error !== silence) throw error;
    parts.log.warn("the guest is silent: powering it on once more", {
      vm: spec.vmId,
      afterMs: Math.round(firstMs),
      consoleTail: consoleTail(consoleLog),
    });
  }
  clock?.fold(phases, "silent boot");
  return await attempt(parts, spec, { ...options, signal: whole.signal });
}

async function attempt(parts: Parts, spec: MachineSpec, options: PowerOnOptions): Promise<ReachedGuest> {
  const { consoleLog, signal, clock, background = false } = options;
  const machine = await parts.driver.launch(spec, { signal, background });
  clock?.end("spawn");
  try {
    const agent = await openGuest(parts, machine, { consoleLog, signal });
    clock?.end("boot");
    crashPoint("start.greeted");
    return { machine, agent };
  } catch (error) {
    throw await undone(error, () => machine.kill());
  }
}
