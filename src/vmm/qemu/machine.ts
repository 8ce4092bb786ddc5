// One running QEMU process: its control socket, its end, and the calls on it. Holds no fact that is not observed.
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { socketAddress } from "../../config/paths.ts";
import { BangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Machine, MachineExit, MachineStats } from "../driver.ts";
import { consoleLogName, socketNames } from "./arguments.ts";
import { exitReason } from "./exit-reason.ts";
import { identityFileName, readIdentity } from "./identity.ts";
import type { VmmIdentity } from "./identity.ts";
import { limitLog, tailOf } from "./log-limit.ts";
import { isAlive, killProcess, usageOf, waitUntilGone } from "./process-table.ts";
import { connectQmp } from "./qmp.ts";
import type { QmpClient, QmpEvent } from "./qmp.ts";

export const vmmLogName = "vmm.log";

const commandTimeoutMs = 10_000;
const goneTimeoutMs = 10_000;
const reconnectPauseMs = 500;
/** The event of a child's end comes at once after it is gone. */
const endTextTimeoutMs = 2000;
const logCheckMs = 10_000;
const maxLogBytes = 16 * 1024 * 1024;
const keptLogBytes = 256 * 1024;
/** After the host's disk was full, QEMU stands still; it is told to go on this often. */
const diskFullRetryMs = 5_000;

export interface MachineParts {
  vmId: string;
  dir: string;
  identity: VmmIdentity;
  /** How the process ends; only when this process is its parent. */
  processEnd?: Promise<string>;
  log: Logger;
}

export class QemuMachine implements Machine {
  readonly vmId: string;
  readonly pid: number;
  readonly exited: Promise<MachineExit>;
  readonly #parts: MachineParts;
  readonly #letGo = new AbortController();
  readonly #exit = Promise.withResolvers<MachineExit>();
  /** Resolved when `kill` has seen the process go. */
  readonly #gone = Promise.withResolvers<undefined>();
  readonly #logTimer: NodeJS.Timeout;
  #qmp: QmpClient | undefined;
  #shutdownReason: string | undefined;
  #violation: string | undefined;
  #killed = false;
  #paused = false;
  #cleaning: Promise<void> | undefined;

  constructor(parts: MachineParts) {
    this.#parts = parts;
    this.vmId = parts.vmId;
    this.pid = parts.identity.pid;
    this.exited = this.#exit.promise;
    this.#logTimer = setInterval(() => this.#limitLogs(), logCheckMs).unref();
  }

  /** First contact with the control socket. Throws what connectQmp throws. Then call `watch`. */
  async connect(signal: AbortSignal): Promise<void> {
    this.#qmp = await connectQmp(this.#path(socketNames.qmp), {
      signal: AbortSignal.any([signal, this.#letGo.signal]),
      onEvent: (event) => this.#onEvent(event),
    });
  }

  /** Follows the machine to its end, with or without a control socket. Call once. */
  watch(): void {
    this.#follow().catch((error: unknown) => {
      if (!this.#letGo.signal.aborted) this.#parts.log.error("watching a VMM failed", { vm: this.vmId, error });
    });
  }

  async controlChannel({ signal }: { signal: AbortSignal }): Promise<Duplex> {
    signal.throwIfAborted();
    using name = socketAddress(this.#path(socketNames.agent));
    const socket = connect(name.address);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("connect", resolve);
    const onError = (cause: Error) =>
      reject(
        new BangerError("guest.unreachable", `the VMM of "${this.vmId}" takes no connection: ${cause.message}`, {
          cause,
        }),
      );
    socket.once("error", onError);
    try {
      await promise;
      socket.off("error", onError);
      return socket;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  async kill(): Promise<void> {
    const { identity } = this.#parts;
    if (isAlive(identity)) {
      this.#killed = true;
      killProcess(identity);
      await waitUntilGone(identity, goneTimeoutMs);
    }
    this.#gone.resolve(undefined);
    await this.#clean();
  }

  async pause(): Promise<void> {
    this.#paused = true;
    await this.#command("stop");
  }

  async resume(): Promise<void> {
    await this.#command("cont");
    this.#paused = false;
  }

  async stats(): Promise<MachineStats> {
    const usage = isAlive(this.#parts.identity) ? await usageOf(this.pid) : undefined;
    if (usage === undefined) throw new BangerError("vm.wrong-state", `the VMM of "${this.vmId}" does not run`);
    return usage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo.abort();
    clearInterval(this.#logTimer);
    this.#qmp?.close();
    await this.#qmp?.closed;
  }

  async #command(command: string): Promise<void> {
    if (this.#qmp === undefined) {
      throw new BangerError("vmm.failed", `the control socket of the VMM of "${this.vmId}" does not answer`);
    }
    const late = new BangerError(
      "vmm.failed",
      `the VMM of "${this.vmId}" did not answer "${command}" within ${commandTimeoutMs / 1000} s`,
    );
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(late), commandTimeoutMs);
    try {
      await this.#qmp.execute(command, {}, { signal: deadline.signal });
    } finally {
      clearTimeout(timer);
    }
  }

  async #follow(): Promise<void> {
    const { identity, log, processEnd } = this.#parts;
    const { signal } = this.#letGo;
    for (;;) {
      const violation = await Promise.race([this.#qmp?.closed, this.#gone.promise]);
      this.#qmp?.close();
      this.#qmp = undefined;
      signal.throwIfAborted();
      if (violation !== undefined) {
        log.error("VMM broke its protocol and is ended", { vm: this.vmId, error: violation });
        this.#violation = violation.message;
        killProcess(identity);
      }
      // A socket closes a moment before its process is gone.
      const gone = await waitUntilGone(identity, reconnectPauseMs).then(
        () => true,
        () => false,
      );
      signal.throwIfAborted();
      if (gone) break;
      await this.connect(AbortSignal.any([signal, AbortSignal.timeout(commandTimeoutMs)])).catch((error: unknown) =>
        log.debug("the VMM's control socket does not answer", { vm: this.vmId, error }),
      );
      signal.throwIfAborted();
    }
    const ended = await Promise.race([processEnd, sleep(endTextTimeoutMs, undefined, { signal })]);
    const lastWords = await tailOf(this.#path(vmmLogName), 1);
    await this.#clean();
    signal.throwIfAborted();
    clearInterval(this.#logTimer);
    this.#exit.resolve(
      exitReason({
        killed: this.#killed,
        violation: this.#violation,
        shutdownReason: this.#shutdownReason,
        processEnd: ended,
        lastWords,
      }),
    );
  }

  #onEvent(event: QmpEvent): void {
    const { log } = this.#parts;
    if (event.name === "SHUTDOWN" && typeof event.data["reason"] === "string") {
      this.#shutdownReason = event.data["reason"];
    } else if (event.name === "BLOCK_IO_ERROR" && event.data["action"] === "stop") {
      log.warn("a machine stands still: its disk cannot be written, is the host's disk full?", { vm: this.vmId });
      void sleep(diskFullRetryMs, undefined, { signal: this.#letGo.signal, ref: false })
        .then(() => (this.#paused ? undefined : this.#command("cont")))
        .catch((error: unknown) => log.debug("a machine was not continued", { vm: this.vmId, error }));
    }
  }

  #limitLogs(): void {
    for (const name of [consoleLogName, vmmLogName]) {
      limitLog(this.#path(name), maxLogBytes, keptLogBytes).catch((error: unknown) =>
        this.#parts.log.warn("a log could not be cut", { vm: this.vmId, error }),
      );
    }
  }

  /** At most once: later files of the same names belong to a later machine. */
  #clean(): Promise<void> {
    this.#cleaning ??= removeRuntimeFiles(this.#parts.dir, this.#parts.identity);
    return this.#cleaning;
  }

  #path(name: string): string {
    return join(this.#parts.dir, name);
  }
}

/** Removes sockets and identity file of a machine that is gone, unless they belong to another one. Logs stay. */
export async function removeRuntimeFiles(dir: string, identity: VmmIdentity | undefined): Promise<void> {
  const owner = await readIdentity(join(dir, identityFileName));
  if (
    owner !== undefined &&
    identity !== undefined &&
    (owner.pid !== identity.pid || owner.startTicks !== identity.startTicks)
  )
    return;
  for (const name of [socketNames.qmp, socketNames.agent, identityFileName]) await rm(join(dir, name), { force: true });
}
