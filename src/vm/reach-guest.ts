// From a machine to a session with its guest: the building blocks of every start. `openGuest` for a machine that runs,
// `restoreGuest` for one whose memory comes from a capture (a template, a snapshot, a paused VM), `greet` to learn who answers.
import type { GuestAgent, GuestHello, GuestPhase } from "../guest/agent.ts";
import { deadline, orAborted } from "../lib/abort.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { BangerError, toBangerError } from "../lib/errors.ts";
import { undone } from "../lib/undo.ts";
import type { Machine, MachineCapture, MachineSpec, Standby } from "../vmm/driver.ts";
import { bootError } from "./boot-error.ts";
import type { VmContext } from "./context.ts";
import type { PhaseClock } from "./phases.ts";

export interface ReachedGuest {
  machine: Machine;
  agent: GuestAgent;
}

/**
 * Opens a session with the guest of a running machine: control channel and handshake. The caller owns the session; the machine
 * stays the caller's also after a failure. Throws `vm.boot-failed` (the VMM ended), `guest.unreachable`, `guest.protocol`, or the
 * signal's reason.
 */
export async function openGuest(
  parts: Pick<VmContext, "connectGuest">,
  machine: Machine,
  options: { consoleLog: string; signal: AbortSignal },
): Promise<GuestAgent> {
  const either = AbortSignal.any([options.signal, endOf(machine, options.consoleLog)]);
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

/**
 * Restores a machine, lets it run and opens a session with its guest, which is asked nothing yet; all in all
 * `settings.bootTimeoutMs`. Ends the phases spawn, load and resume of `clock`. `run` lets
 * the CPUs of the machine run, whose state is loaded; default: its `resume`. The caller owns both results; after a failure nothing runs. Throws what `Driver.restore` and `openGuest` throw, `vm.boot-timeout`, or the signal's reason.
 */
export async function restoreGuest(
  parts: Pick<VmContext, "driver" | "connectGuest" | "settings">,
  spec: MachineSpec,
  capture: MachineCapture,
  options: {
    clock: PhaseClock;
    consoleLog: string;
    signal: AbortSignal;
    run?: (machine: Machine) => Promise<void>;
    /** Others that want the host's processors go first. Default false. */
    background?: boolean;
    /** A VMM that waits for this capture; the caller disposes of it. Default: none, so one is started. */
    standby?: Promise<Standby>;
  },
): Promise<ReachedGuest> {
  const { clock, consoleLog } = options;
  const { bootTimeoutMs } = parts.settings;
  using limit = deadline(options.signal, bootTimeoutMs, () =>
    bootError("vm.boot-timeout", `the restored guest did not answer within ${bootTimeoutMs / 1000} s`, consoleLog),
  );
  const { signal } = limit;
  const beganMs = clock.nowMs();
  const standby = options.standby && (await orAborted(options.standby, signal));
  const waitedMs = clock.nowMs() - beganMs;
  const { machine, timings } = await (standby?.restore({ signal }) ??
    parts.driver.restore(spec, capture, { signal, background: options.background === true }));
  clock.end("spawn", beganMs + waitedMs + timings.spawnMs);
  clock.end("load", beganMs + waitedMs + timings.loadMs);
  try {
    await (options.run?.(machine) ?? machine.resume()).catch(async (error: unknown) => {
      const ended = endOf(machine, consoleLog);
      await settle(machine);
      throw ended.aborted ? ended.reason : error;
    });
    crashPoint("start.cpus-run");
    clock.end("resume");
    return { machine, agent: await openGuest(parts, machine, { consoleLog, signal }) };
  } catch (error) {
    throw await undone(error, () => machine.kill());
  }
}

/** Hello of a guest that must be in one phase. Throws `guest.protocol` when it is in another, or what `hello` throws. */
export async function greet(
  agent: GuestAgent,
  phase: GuestPhase,
  options: { signal: AbortSignal },
): Promise<GuestHello> {
  const hello = await agent.hello(options);
  if (hello.phase === phase) return hello;
  const why = hello.failure === "" ? "" : `: ${hello.failure}`;
  throw new BangerError("guest.protocol", `the guest is in phase "${hello.phase}" instead of "${phase}"${why}`);
}

/** Aborts with the reason, as an error of a start, when the machine ends. */
function endOf(machine: Machine, consoleLog: string): AbortSignal {
  const ended = new AbortController();
  void machine.exited.then(({ reason }) =>
    ended.abort(bootError("vm.boot-failed", `the VM ended before its guest was up: ${reason}`, consoleLog)),
  );
  return ended.signal;
}

/** Gives a machine whose channel broke a moment to be seen as ended. */
async function settle(machine: Machine): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, 1000);
  void machine.exited.then(() => resolve());
  await promise;
  clearTimeout(timer);
}
