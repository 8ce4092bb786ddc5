// One running QEMU process: its control socket, its end, and the calls on it. Holds no fact that is not observed.
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { BangerError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Capture, HandOver, Machine, MachineCapture, MachineExit, MachineStats } from "../driver.ts";
import { connectAgent } from "./agent-channel.ts";
import { consoleLogName, socketNames } from "./arguments.ts";
import { beginCapture, beginHandOver, type CaptureSubject } from "./capture/capture.ts";
import { Control } from "./control.ts";
import { activeDisks, growDisk, switchDisks } from "./disk-layers.ts";
import { announceDisks } from "./disk-sizes.ts";
import { exitReason } from "./exit-reason.ts";
import type { VmmIdentity } from "./identity.ts";
import { limitLog, tailOf } from "./log-limit.ts";
import { isAlive, killProcess, usageOf, waitUntilGone } from "../../lib/process-table.ts";
import type { QmpEvent } from "./qmp.ts";
import { continueAfterFullDisk, isPaused, pause } from "./run-state.ts";
import { rebaseDisks } from "./rebase-disks.ts";
import { removeRuntimeFiles, vmmLogName } from "./runtime-files.ts";

const goneTimeoutMs = 10_000;
const reconnectPauseMs = 500;
const reconnectTimeoutMs = 10_000;
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
  /** The files that its disks are written to, by serial, when that is known: it was started with them. */
  disks?: ReadonlyMap<string, string>;
  log: Logger;
}

export class QemuMachine implements Machine {
  readonly vmId: string;
  readonly pid: number;
  readonly exited: Promise<MachineExit>;
  /** For those who start this machine. */
  readonly control: Control;
  readonly #parts: MachineParts;
  readonly #letGo = new AbortController();
  readonly #exit = Promise.withResolvers<MachineExit>();
  /** Resolved when `kill` has seen the process go. */
  readonly #gone = Promise.withResolvers<undefined>();
  readonly #logTimer: NodeJS.Timeout;
  #shutdownReason: string | undefined;
  #violation: string | undefined;
  #killed = false;
  /** Paused by this handle: known before QEMU says so. */
  #paused = false;
  #cleaning: Promise<void> | undefined;
  /** As `activeDisks` gives them; undefined when QEMU has to be asked. */
  #disks: ReadonlyMap<string, string> | undefined;

  constructor(parts: MachineParts) {
    this.#parts = parts;
    this.vmId = parts.vmId;
    this.pid = parts.identity.pid;
    this.#disks = parts.disks;
    this.exited = this.#exit.promise;
    this.control = new Control(this.#path(socketNames.qmp), parts.vmId);
    this.control.listen((event) => this.#onEvent(event));
    this.#logTimer = setInterval(() => this.#limitLogs(), logCheckMs).unref();
  }

  /** First contact with the control socket. Throws what connectQmp throws. Then call `watch`. */
  async connect(signal: AbortSignal): Promise<void> {
    await this.control.connect(AbortSignal.any([signal, this.#letGo.signal]));
  }

  /** Follows the machine to its end, with or without a control socket. Call once. */
  watch(): void {
    // Nobody heard of a full disk while there was no daemon.
    if (this.#parts.processEnd === undefined) this.#continueLater();
    this.#follow().catch((error: unknown) => {
      if (!this.#letGo.signal.aborted) this.#parts.log.error("watching a VMM failed", { vm: this.vmId, error });
    });
  }

  async controlChannel({ signal }: { signal: AbortSignal }): Promise<Duplex> {
    return await connectAgent(this.#path(socketNames.agent), this.vmId, signal);
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
    await pause(this.control);
  }

  async resume(): Promise<void> {
    await this.control.command("cont");
    this.#paused = false;
  }

  async isPaused(): Promise<boolean> {
    return await isPaused(this.control);
  }

  async beginCapture(
    target: MachineCapture,
    options: { signal: AbortSignal; onLaidOut?: (() => void) | undefined },
  ): Promise<Capture> {
    return await beginCapture(this.#subject(), target, options);
  }

  async beginHandOver(stateFile: string, options: { signal: AbortSignal }): Promise<HandOver | undefined> {
    return await beginHandOver(this.#subject(), stateFile, options);
  }

  async switchDisks(base: string, tops: readonly { serial: string; path: string }[]): Promise<void> {
    const before = this.#disks;
    // Until it has said so, both may be true.
    this.#disks = undefined;
    await switchDisks(this.control, this.vmId, base, tops);
    if (before !== undefined)
      this.#disks = new Map([...before, ...tops.map(({ serial, path }) => [serial, path] as const)]);
  }

  async rebaseDisks(base: string, wholes: readonly { serial: string; path: string }[]): Promise<void> {
    await rebaseDisks(this.control, base, wholes);
  }

  /** QEMU describes whole chains of layers, which after forty forks of one VM takes 200 ms: it is asked once at most. */
  async activeDisks(): Promise<ReadonlyMap<string, string>> {
    return (this.#disks ??= await activeDisks(this.control, this.#parts.dir));
  }

  async growDisk(serial: string, sizeBytes: number): Promise<number> {
    return await growDisk(this.control, serial, sizeBytes);
  }

  async announceDisks(): Promise<void> {
    await announceDisks(this.control);
  }

  async stats(): Promise<MachineStats> {
    const usage = isAlive(this.#parts.identity) ? await usageOf(this.pid) : undefined;
    if (usage === undefined) throw new BangerError("vm.wrong-state", `the VMM of "${this.vmId}" does not run`);
    return usage;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#letGo.abort();
    clearInterval(this.#logTimer);
    const { closed } = this.control;
    this.control.drop();
    await closed;
  }

  #subject(): CaptureSubject {
    return { vmId: this.vmId, identity: this.#parts.identity, control: this.control };
  }

  async #follow(): Promise<void> {
    const { identity, log, processEnd } = this.#parts;
    const { signal } = this.#letGo;
    for (;;) {
      const violation = await Promise.race([this.control.closed, this.#gone.promise]);
      this.control.drop();
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
      await this.connect(AbortSignal.any([signal, AbortSignal.timeout(reconnectTimeoutMs)])).catch((error: unknown) =>
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
      this.#continueLater();
    }
  }

  #continueLater(): void {
    void sleep(diskFullRetryMs, undefined, { signal: this.#letGo.signal, ref: false })
      .then(() => (this.#paused ? undefined : continueAfterFullDisk(this.control)))
      .catch((error: unknown) => this.#parts.log.debug("a machine was not continued", { vm: this.vmId, error }));
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
