// From a machine's specification to a running QEMU that answers on its control socket; or nothing left and an error with its words.
import { chmod, open } from "node:fs/promises";
import { setPriority } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { crashPoint } from "../../lib/crash-point.ts";
import { BangerError, diskFull, toBangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { findTool, run, startDetached } from "../../lib/run.ts";
import { undone } from "../../lib/undo.ts";
import type { MachineSpec } from "../driver.ts";
import { consoleLogName, qemuArguments, socketNames } from "./arguments.ts";
import type { HostFacts, RestoreArguments } from "./arguments.ts";
import { identityFileName, isRunning, machineName, readIdentity, writeIdentity } from "./identity.ts";
import type { VmmIdentity } from "./identity.ts";
import { tailOf } from "./log-limit.ts";
import { QemuMachine } from "./machine.ts";
import { hostBootId, startTicksOf } from "../../lib/process-table.ts";
import type { Platform } from "./platform.ts";
import { removeRuntimeFiles, vmmLogName } from "./runtime-files.ts";

const answerTimeoutMs = 30_000;

/** The lowest priority of processes, for where the scheduler's class for what is idle cannot be had. */
const backgroundNiceness = 19;

export interface LaunchOptions {
  host: HostFacts;
  log: Logger;
  signal: AbortSignal;
  background?: boolean;
  /** For a machine that waits for device state, which QEMU gets as file descriptor `stateFd`. */
  restore?: RestoreArguments & { stateFd: number };
}

/**
 * Starts QEMU in its own session and resolves when it answers; the caller then calls `watch`. Truncates the machine's logs, which
 * stay also after a failure. Throws `vmm.missing`, `vmm.failed`, or the signal's reason; then no process, socket or identity file is left.
 */
export async function launchMachine(spec: MachineSpec, options: LaunchOptions): Promise<QemuMachine> {
  const { host, signal, restore } = options;
  signal.throwIfAborted();
  const program = findQemu(host.platform);
  const args = qemuArguments(spec, host, restore);
  await refuseSecondMachine(spec);
  const processEnd = { text: undefined as string | undefined };
  const machine = await startQemu(program, args, spec, options, processEnd);
  try {
    const identityWritten = writeIdentity(join(spec.dir, identityFileName), machine.identity);
    const [, connected] = await Promise.allSettled([
      identityWritten,
      connectWhenReady(machine.qemu, processEnd, signal),
    ]);
    // Removing the file below must not come before it is there: both have ended.
    if (connected.status === "rejected") throw connected.reason;
    await identityWritten;
    crashPoint("start.identity-written");
    // QEMU makes them with the daemon's umask.
    for (const name of Object.values(socketNames)) await makePrivate(join(spec.dir, name), processEnd, signal);
    return machine.qemu;
  } catch (thrown) {
    const failure: unknown = signal.aborted ? signal.reason : thrown;
    const error = await undone(failure, () => discardMachine(machine.qemu));
    if (signal.aborted) throw error;
    if (toBangerError(error).code === "disk.full") throw diskFull(`no space left to start VM "${spec.vmId}"`, error);
    throw new BangerError(
      "vmm.failed",
      `"${host.platform.program}" of VM "${spec.vmId}" did not start${await lastWords(spec, processEnd.text)}`,
      { cause: error },
    );
  }
}

/** Ends a machine whose start failed. */
export async function discardMachine(machine: QemuMachine): Promise<void> {
  await machine.kill();
  await machine[Symbol.asyncDispose]();
}

/** What QEMU printed before its end, as the end of an error message. */
export async function lastWords(spec: MachineSpec, processEnd: string | undefined): Promise<string> {
  const words = await tailOf(join(spec.dir, vmmLogName), 20);
  return `${processEnd === undefined ? "" : ` (${processEnd})`}${words === "" ? "" : `: ${words}`}`;
}

/** Absolute path of QEMU. Throws `vmm.missing`. */
export function findQemu(platform: Platform): string {
  const program = findTool(platform.program);
  if (program !== undefined) return program;
  throw new BangerError("vmm.missing", `"${platform.program}" is not installed`, {
    hint: `sudo apt-get install ${platform.package}`,
  });
}

async function refuseSecondMachine(spec: MachineSpec): Promise<void> {
  const identity = await readIdentity(join(spec.dir, identityFileName));
  if (identity !== undefined && isRunning(identity, machineName(spec.homeId, spec.vmId))) {
    throw new BangerError("vmm.failed", `a VMM of VM "${spec.vmId}" runs already, pid ${identity.pid}`);
  }
  await removeRuntimeFiles(spec.dir, identity);
}

async function startQemu(
  program: string,
  args: readonly string[],
  spec: MachineSpec,
  { log, background, restore }: LaunchOptions,
  processEnd: { text: string | undefined },
): Promise<{ qemu: QemuMachine; identity: VmmIdentity }> {
  // Made here for their modes, and because QEMU appends to its console log.
  await (await open(join(spec.dir, consoleLogName), "w", 0o600)).close();
  await (await open(join(spec.dir, vmmLogName), "w", 0o600)).close();
  await using output = await open(join(spec.dir, vmmLogName), "a");
  const { pid, exited } = startDetached({
    file: program,
    args,
    cwd: spec.dir,
    outputFd: output.fd,
    inheritedFds: restore === undefined ? [] : [restore.stateFd],
  });
  crashPoint("start.spawned");
  // Before it has started its CPUs: threads inherit it.
  if (background === true) await lowerPriority(pid, log);
  void exited.then((text) => (processEnd.text = text));
  // A process that has ended already is found out while connecting; no living process has the start time -1.
  const identity: VmmIdentity = {
    pid,
    startTicks: startTicksOf(pid) ?? -1,
    hostBootId: hostBootId(),
    marker: machineName(spec.homeId, spec.vmId),
  };
  log.debug("VMM started", { vm: spec.vmId, pid, args });
  const disks = new Map(spec.disks.filter(({ readOnly }) => !readOnly).map(({ serial, path }) => [serial, path]));
  const qemu = new QemuMachine({ vmId: spec.vmId, dir: spec.dir, identity, processEnd: exited, disks, log });
  return { qemu, identity };
}

/** Others go first whenever they have something to do. */
async function lowerPriority(pid: number, log: Logger): Promise<void> {
  try {
    setPriority(pid, backgroundNiceness);
    await run({ file: "chrt", args: ["--all-tasks", "--idle", "--pid", "0", String(pid)], timeoutMs: 5000 });
  } catch (error) {
    log.debug("a VMM keeps its priority", { pid, error });
  }
}

/** The socket of the network is made by a thread of QEMU, on a busy host only after the first answer. */
async function makePrivate(path: string, processEnd: { text: string | undefined }, signal: AbortSignal): Promise<void> {
  const late = AbortSignal.timeout(answerTimeoutMs);
  const either = AbortSignal.any([signal, late]);
  for (;;) {
    try {
      return await chmod(path, 0o600);
    } catch (error) {
      signal.throwIfAborted();
      const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
      if (!isMissing || late.aborted || processEnd.text !== undefined) throw error;
    }
    await sleep(2, undefined, { signal: either }).catch(() => {});
  }
}

/** QEMU gives no event for "my sockets are there", so this tries until it answers or is gone. */
async function connectWhenReady(
  machine: QemuMachine,
  processEnd: { text: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const late = AbortSignal.timeout(answerTimeoutMs);
  const either = AbortSignal.any([signal, late]);
  for (let pauseMs = 2; ; pauseMs = Math.min(20, pauseMs * 2)) {
    try {
      return await machine.connect(either);
    } catch (error) {
      signal.throwIfAborted();
      if (late.aborted) throw new BangerError("timeout", `it did not answer within ${answerTimeoutMs / 1000} s`);
      if (processEnd.text !== undefined) throw error;
      const code = (error as NodeJS.ErrnoException).code;
      if (error instanceof BangerError || (code !== "ENOENT" && code !== "ECONNREFUSED")) {
        // Its end, if that was the cause, is known a moment later.
        await sleep(50);
        throw error;
      }
    }
    await sleep(pauseMs, undefined, { signal: either }).catch(() => {});
  }
}
