// From a machine's specification to a guest that has said Hello, or nothing left running and an error with the console's end.
import type { GuestAgent } from "../guest/agent.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Machine, MachineSpec } from "../vmm/driver.ts";
import { consoleTail } from "./console-log.ts";
import type { VmContext } from "./context.ts";

/**
 * Part of the boot timeout after which a guest that is silent is powered on once more. An emulated kernel hangs early in one of
 * some hundred boots; the second boot of the same machine is as good as the first, as nothing was given to the guest yet.
 */
const firstShare = 1 / 3;

export interface PoweredOn {
  machine: Machine;
  agent: GuestAgent;
}

type Parts = Pick<VmContext, "driver" | "connectGuest" | "settings" | "log">;

/**
 * Launches the machine and waits for its guest, all in all `settings.bootTimeoutMs`. The caller owns both results.
 * Throws `vm.boot-timeout`, `vm.boot-failed` (the VMM ended), `guest.protocol`, what `launch` throws, or the signal's reason.
 */
export async function powerOn(
  parts: Parts,
  spec: MachineSpec,
  options: { consoleLog: string; signal: AbortSignal },
): Promise<PoweredOn> {
  const { consoleLog } = options;
  const { bootTimeoutMs } = parts.settings;
  using whole = deadline(options.signal, bootTimeoutMs, () =>
    bootError("vm.boot-timeout", `the guest did not say Hello within ${bootTimeoutMs / 1000} s`, consoleLog),
  );
  const firstMs = bootTimeoutMs * firstShare;
  const silence = new BangerError("vm.boot-timeout", `no Hello within ${firstMs / 1000} s`);
  using first = deadline(whole.signal, firstMs, () => silence);
  try {
    return await attempt(parts, spec, consoleLog, first.signal);
  } catch (error) {
    if (error !== silence) throw error;
    parts.log.warn("the guest is silent: powering it on once more", {
      vm: spec.vmId,
      afterMs: Math.round(firstMs),
      consoleTail: consoleTail(consoleLog),
    });
  }
  return await attempt(parts, spec, consoleLog, whole.signal);
}

async function attempt(parts: Parts, spec: MachineSpec, consoleLog: string, signal: AbortSignal): Promise<PoweredOn> {
  const machine = await parts.driver.launch(spec, { signal });
  try {
    return { machine, agent: await waitForGuest(parts, machine, consoleLog, signal) };
  } catch (error) {
    await machine.kill();
    throw error;
  }
}

async function waitForGuest(
  parts: Parts,
  machine: Machine,
  consoleLog: string,
  signal: AbortSignal,
): Promise<GuestAgent> {
  const died = new AbortController();
  void machine.exited.then((exit) =>
    died.abort(bootError("vm.boot-failed", `the VM ended before its guest was up: ${exit.reason}`, consoleLog)),
  );
  const either = AbortSignal.any([signal, died.signal]);
  try {
    const channel = await machine.controlChannel({ signal: either });
    return await parts.connectGuest(channel, { signal: either });
  } catch (error) {
    // The cut channel is only the consequence of a machine that died a moment ago.
    if (toBangerError(error).code === "guest.unreachable") await orAborted(settle(machine), either);
    either.throwIfAborted();
    throw error;
  }
}

/** Gives a machine whose channel broke a moment to be seen as ended. */
async function settle(machine: Machine): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, 1000);
  void machine.exited.then(() => resolve());
  await promise;
  clearTimeout(timer);
}

/** An error of the boot with the end of the console, in its message and its details. */
export function bootError(
  code: "vm.boot-failed" | "vm.boot-timeout",
  message: string,
  consoleLog: string,
  cause?: unknown,
): BangerError {
  const tail = consoleTail(consoleLog);
  return new BangerError(
    code,
    tail === "" ? `${message}; its console is empty` : `${message}; its console ends with:\n${tail}`,
    {
      details: { consoleLog, consoleTail: tail },
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
