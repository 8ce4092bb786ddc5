// Starts a machine from a capture: a QEMU that maps the memory file and is given the device state.
import { open } from "node:fs/promises";
import { orAborted, deadline } from "../../lib/abort.ts";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError } from "../../lib/errors.ts";
import { undone } from "../../lib/undo.ts";
import type { MachineCapture, MachineSpec, RestoreTimings, Standby } from "../driver.ts";
import { stateFd } from "./arguments.ts";
import { hasWrittenTo } from "./own-pages.ts";
import type { LaunchOptions } from "./launch.ts";
import { discardMachine, lastWords, launchMachine } from "./launch.ts";
import type { QemuMachine } from "./machine.ts";

/** Far above what loading takes (some ten milliseconds). */
const loadTimeoutMs = 30_000;

type HowToLaunch = Pick<LaunchOptions, "host" | "log" | "signal" | "background">;

/** See `Driver.restore`. */
export async function restoreMachine(
  spec: MachineSpec,
  capture: MachineCapture,
  options: HowToLaunch,
): Promise<{ machine: QemuMachine; timings: RestoreTimings }> {
  const started = performance.now();
  const machine = await launchWaiting(spec, capture, options);
  const spawnMs = performance.now() - started;
  await loadOrDiscard(spec, machine, options.signal);
  return { machine, timings: { spawnMs, loadMs: performance.now() - started } };
}

/** See `Driver.standBy`. */
export async function standBy(
  spec: MachineSpec,
  capture: MachineCapture,
  options: HowToLaunch & { memoryChanges: boolean },
): Promise<Standby> {
  let waiting: QemuMachine | undefined = await launchWaiting(spec, capture, options);
  const discard = async () => {
    const machine = waiting;
    waiting = undefined;
    if (machine !== undefined) await discardMachine(machine);
  };
  return {
    pid: waiting.pid,
    async restore({ signal }) {
      const started = performance.now();
      const machine = waiting;
      if (machine === undefined) throw new BangerError("internal", `the VMM of "${spec.vmId}" waits no more`);
      if (options.memoryChanges && (await hasWrittenTo(machine.pid, capture.memoryFile))) {
        options.log.warn("a VMM had written to memory that it was to wait for, and is started again", {
          vm: spec.vmId,
        });
        await discard();
        return await restoreMachine(spec, capture, { ...options, signal });
      }
      waiting = undefined;
      await loadOrDiscard(spec, machine, signal);
      return { machine, timings: { spawnMs: 0, loadMs: performance.now() - started } };
    },
    [Symbol.asyncDispose]: discard,
  };
}

/** A QEMU that waits for the device state. */
async function launchWaiting(spec: MachineSpec, capture: MachineCapture, options: HowToLaunch): Promise<QemuMachine> {
  const { memoryFile, stateFile } = capture;
  await refuseOtherSize(spec, memoryFile);
  await using state = await openCapture(spec, stateFile);
  return await launchMachine(spec, { ...options, restore: { memoryFile, stateFd: state.fd } });
}

async function loadOrDiscard(spec: MachineSpec, machine: QemuMachine, signal: AbortSignal): Promise<void> {
  try {
    await loadState(machine, signal);
    crashPoint("start.loaded");
    machine.watch();
  } catch (thrown) {
    const failure: unknown = signal.aborted ? signal.reason : thrown;
    const error = await undone(failure, () => discardMachine(machine));
    if (signal.aborted) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const words = await lastWords(spec, undefined);
    throw incompatible(spec, words === "" ? why : `the VMM refused it${words}`, error);
  }
}

/** A file that is too short would end QEMU by SIGBUS, at any time. */
async function refuseOtherSize(spec: MachineSpec, memoryFile: string): Promise<void> {
  await using file = await openCapture(spec, memoryFile);
  const { size } = await file.stat();
  const wanted = spec.memoryMib * 1024 * 1024;
  if (size !== wanted) throw incompatible(spec, `its memory has ${size} bytes, not ${wanted}`);
}

async function openCapture(spec: MachineSpec, path: string) {
  return await open(path, "r").catch((error: unknown) => {
    throw incompatible(spec, (error as Error).message, error);
  });
}

function incompatible({ vmId }: MachineSpec, why: string, cause?: unknown): BangerError {
  return new BangerError("snapshot.incompatible", `"${vmId}" cannot be started from this capture: ${why}`, { cause });
}

/** Resolves when the state is in place and the CPUs can run. QEMU ends itself when it cannot load a state. */
async function loadState({ control }: QemuMachine, signal: AbortSignal): Promise<void> {
  const loaded = Promise.withResolvers<void>();
  using _ = control.listen(({ name, data }) => {
    if (name !== "MIGRATION") return;
    if (data["status"] === "completed") loaded.resolve();
    else if (data["status"] === "failed") loaded.reject(new Error("the VMM could not load it"));
  });
  // It may fail before anybody waits for it.
  loaded.promise.catch(() => {});
  void control.closed?.then(() => loaded.reject(new Error("the VMM ended")));
  using limit = deadline(
    signal,
    loadTimeoutMs,
    () => new BangerError("timeout", `the VMM did not load it within ${loadTimeoutMs / 1000} s`),
  );
  // All at once: QEMU takes them in order.
  await Promise.all([
    control.command("migrate-set-capabilities", { capabilities: [{ capability: "events", state: true }] }),
    // No switch has to learn where the machine is now. And QEMU 7.2 dies of a frame that comes before its network socket listens,
    // which on a busy host may be later than the end of this.
    control.command("migrate-set-parameters", { "announce-rounds": 0 }),
    control.command("migrate-incoming", { uri: `fd:${stateFd}` }),
    orAborted(loaded.promise, limit.signal),
  ]);
}
