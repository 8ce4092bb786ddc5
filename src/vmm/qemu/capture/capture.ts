// Captures one running machine: its memory into a file of its own, page by page, and the state of its devices.
// Why not QEMU's own migration, and the measurements: notes/memory-capture.md.
import { readFileSync } from "node:fs";
import { chmod, open, truncate } from "node:fs/promises";
import { BangerError, diskFull, toBangerError } from "../../../lib/errors.ts";
import { run } from "../../../lib/run.ts";
import type { Capture, HandOver, MachineCapture, Standby } from "../../driver.ts";
import { spareHelps, takeSpare } from "../../spare-memory.ts";
import type { Control } from "../control.ts";
import { platformOf } from "../platform.ts";
import { type ProcessIdentity, isAlive, startTicksOf } from "../../../lib/process-table.ts";
import { isPaused } from "../run-state.ts";
import { memoryId } from "../arguments.ts";
import { type Copier, createCopier, isLittle, OwnThread } from "./copier.ts";
import { type GuestRam, inspectRam, parseHostAddress, whereMapped } from "./guest-ram.ts";
import { type MemorySource, pageBytes } from "./page-map.ts";

/** Far above what saving takes (some milliseconds for a megabyte). */
const saveTimeoutMs = 20_000;
/** The guest's clock chip changes its state once a second, so a second try is nothing unusual. */
const maxTries = 10;

export interface CaptureSubject {
  vmId: string;
  identity: ProcessIdentity;
  control: Control;
  /** The process that its memory goes to straight. */
  heirPid?: number;
}

/** See `Machine.beginCapture`. */
export async function beginCapture(
  subject: CaptureSubject,
  target: MachineCapture,
  { signal, onLaidOut }: { signal: AbortSignal; onLaidOut?: (() => void) | undefined },
): Promise<Capture> {
  signal.throwIfAborted();
  let copier: Copier | undefined;
  try {
    const { start, sizeBytes, baseFile } = await findRam(subject);
    const source = { pid: subject.identity.pid, start, sizeBytes };
    copier = await createCopier(source);
    await makeFile(target.stateFile);
    const spareBase = baseFile && (await spareHelps(baseFile, target.memoryFile));
    if (baseFile === undefined) await makeFile(target.memoryFile);
    else if (!(await takeSpare(baseFile, target.memoryFile))) {
      await copySparse(baseFile.opened, target.memoryFile, signal);
    }
    await truncate(target.memoryFile, sizeBytes);
    onLaidOut?.();
    await copier.open(source, { path: target.memoryFile, at: 0 }, signal);
    // What was opened belongs to this process, and to no later one with its pid.
    if (!isAlive(subject.identity)) throw new Error("the VMM ended");
    // All of it is copied again in the end, but then into blocks that are there, and by threads that are warm. What takes no time
    // is done while the guest stops its processes.
    const firstCopy = copier.copy(signal);
    if (copier.isQuick) firstCopy.catch(() => {});
    else await firstCopy;
    return new QemuCapture(subject, target.stateFile, { copier, firstCopy }, spareBase);
  } catch (error) {
    await copier?.[Symbol.asyncDispose]();
    signal.throwIfAborted();
    throw captureFailure(subject, error);
  }
}

/** See `Machine.beginHandOver`. */
export async function beginHandOver(
  subject: CaptureSubject,
  stateFile: string,
  { signal }: { signal: AbortSignal },
): Promise<HandOver | undefined> {
  signal.throwIfAborted();
  try {
    const { start, sizeBytes, baseFile } = await findRam(subject);
    const source = { pid: subject.identity.pid, start, sizeBytes };
    if (baseFile === undefined || !(await isLittle(source))) return undefined;
    // Whether the host allows it is known before anything waits for it, or stands still.
    await (await open(`/proc/${source.pid}/mem`, "r")).close();
    await makeFile(stateFile);
    // Not by its name: a snapshot or template may be removed at any moment, and QEMU makes a file that is not there.
    return {
      capture: { memoryFile: baseFile.opened, stateFile },
      to: (standby, how) => handOver(subject, { source, stateFile }, standby, how),
    };
  } catch (error) {
    signal.throwIfAborted();
    throw captureFailure(subject, error);
  }
}

async function handOver(
  giver: CaptureSubject,
  { source, stateFile }: { source: MemorySource; stateFile: string },
  standby: Standby,
  { signal }: { signal: AbortSignal },
): Promise<Capture> {
  signal.throwIfAborted();
  const subject = { ...giver, heirPid: standby.pid };
  let copier: Copier | undefined;
  try {
    const at = await whereMapped(source.pid, source.start, source.sizeBytes, standby.pid);
    copier = new OwnThread();
    await copier.open(source, { path: `/proc/${standby.pid}/mem`, at }, signal);
    if (!isAlive(subject.identity)) throw new Error("the VMM ended");
    const firstCopy = copier.copy(signal);
    firstCopy.catch(() => {});
    return new QemuCapture(subject, stateFile, { copier, firstCopy }, undefined);
  } catch (error) {
    await copier?.[Symbol.asyncDispose]();
    signal.throwIfAborted();
    throw captureFailure(subject, error);
  }
}

class QemuCapture implements Capture {
  readonly #subject: CaptureSubject;
  readonly #stateFile: string;
  readonly #copier: Copier;
  readonly #firstCopy: Promise<number>;
  readonly spareBase: string | undefined;

  constructor(
    subject: CaptureSubject,
    stateFile: string,
    { copier, firstCopy }: { copier: Copier; firstCopy: Promise<number> },
    spareBase: string | undefined,
  ) {
    this.spareBase = spareBase;
    this.#subject = subject;
    this.#stateFile = stateFile;
    this.#copier = copier;
    this.#firstCopy = firstCopy;
  }

  /**
   * A device that still moves although the CPUs stand still (bytes that arrive for the guest's serial port) would change memory
   * and its own state: what was copied belongs together when the state is the same before and after, or the memory before and after
   * the state. On a busy host each try may take longer than the second after which the clock chip's state is another one.
   */
  async finish({ signal }: { signal: AbortSignal }): Promise<{ copiedBytes: number }> {
    try {
      // Both sent at once, and so before what the caller wants of QEMU next, which is done while memory is copied.
      const [paused, first, copied] = await Promise.all([
        isPaused(this.#subject.control),
        this.#saveState(signal),
        this.#firstCopy,
      ]);
      if (!paused) throw new Error("the machine is not paused");
      let [before, copiedBytes] = [first, copied];
      let writtenBefore = -1;
      for (let tries = 0; tries < maxTries; tries++) {
        const written = await this.#copier.copy(signal);
        copiedBytes += written;
        // The state was saved while nothing moved in memory.
        if (written === 0 && writtenBefore === 0) return { copiedBytes };
        const after = await this.#saveState(signal);
        if (after.equals(before)) return { copiedBytes };
        before = after;
        writtenBefore = written;
      }
      throw new Error("its devices do not come to rest");
    } catch (error) {
      signal.throwIfAborted();
      throw captureFailure(this.#subject, error);
    }
  }

  async #saveState(signal: AbortSignal): Promise<Buffer> {
    // Not live: QEMU then leaves its disks open for writing, as this machine goes on.
    const save = { filename: this.#stateFile, live: false };
    await this.#subject.control.command("xen-save-devices-state", save, { timeoutMs: saveTimeoutMs, signal });
    // A file of some hundred kilobytes that was written just now, while a machine stands still: other threads would only take longer.
    return readFileSync(this.#stateFile);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#copier[Symbol.asyncDispose]();
  }
}

async function findRam({ identity, control }: CaptureSubject): Promise<GuestRam> {
  const { memoryAddress } = platformOf(process.arch);
  const [size, answer] = await Promise.all([
    control.command("query-memory-size-summary"),
    control.command("human-monitor-command", { "command-line": `gpa2hva ${memoryAddress}` }),
  ]);
  const sizeBytes = (size as { "base-memory"?: unknown } | null)?.["base-memory"];
  const start = parseHostAddress(String(answer), memoryId);
  if (
    typeof sizeBytes !== "number" ||
    !Number.isSafeInteger(sizeBytes) ||
    sizeBytes % pageBytes !== 0 ||
    start === undefined
  ) {
    throw new BangerError("snapshot.failed", "the VMM does not say where the memory of its guest is");
  }
  return await inspectRam(identity.pid, start, sizeBytes);
}

async function makeFile(path: string): Promise<void> {
  await (await open(path, "wx", 0o600)).close();
}

/** Holes stay holes; where the file system can share blocks, nothing is copied. Nothing is at `to`: see src/vmm/spare-memory.ts. */
async function copySparse(from: string, to: string, signal: AbortSignal): Promise<void> {
  await run({ file: "cp", args: ["--reflink=auto", "--sparse=auto", "--", from, to], signal });
  await chmod(to, 0o600);
}

function captureFailure({ vmId, identity, heirPid }: CaptureSubject, thrown: unknown): BangerError {
  const error = toBangerError(thrown);
  if (heirPid !== undefined && startTicksOf(heirPid) === undefined && isAlive(identity)) {
    return new BangerError("vmm.failed", `the VMM that was to have the memory of "${vmId}" ended`, { cause: thrown });
  }
  if (error.code === "disk.full" || error.code === "snapshot.failed") return error;
  if (/No space left on device|Disk quota exceeded/.test(error.message)) {
    return diskFull(`no space left on the disk for a capture of "${vmId}"`, thrown);
  }
  const code = (thrown as NodeJS.ErrnoException).code;
  if (code === "EACCES" || code === "EPERM") {
    return new BangerError(
      "snapshot.failed",
      `"${vmId}" cannot be captured: this host forbids to read the memory of its VMM, process ${identity.pid}`,
      { cause: thrown, hint: "sudo sysctl kernel.yama.ptrace_scope=0" },
    );
  }
  return new BangerError("snapshot.failed", `"${vmId}" could not be captured: ${error.message}`, { cause: thrown });
}
