// Captures one running machine: its memory into a file of its own, page by page, and the state of its devices.
// Why not QEMU's own migration, and the measurements: notes/memory-capture.md.
import { open } from "node:fs/promises";
import { BangerError, diskFull, toBangerError } from "../../../lib/errors.ts";
import { run } from "../../../lib/run.ts";
import type { Capture, MachineCapture } from "../../driver.ts";
import type { Control } from "../control.ts";
import { platformOf } from "../platform.ts";
import { type ProcessIdentity, isAlive } from "../process-table.ts";
import { isPaused } from "../run-state.ts";
import { memoryId } from "../arguments.ts";
import { type GuestRam, inspectRam, parseHostAddress } from "./guest-ram.ts";
import { pageBytes } from "./page-copy.ts";
import { CaptureThread } from "./thread.ts";

/** Far above what saving takes (some milliseconds for a megabyte). */
const saveTimeoutMs = 20_000;

export interface CaptureSubject {
  vmId: string;
  identity: ProcessIdentity;
  control: Control;
}

/** See `Machine.beginCapture`. */
export async function beginCapture(
  subject: CaptureSubject,
  target: MachineCapture,
  { signal }: { signal: AbortSignal },
): Promise<Capture> {
  signal.throwIfAborted();
  const thread = new CaptureThread();
  try {
    const ram = await findRam(subject);
    const { start, sizeBytes, baseFile } = ram;
    for (const file of [target.memoryFile, target.stateFile]) await (await open(file, "wx", 0o600)).close();
    if (baseFile !== undefined) await copySparse(baseFile, target.memoryFile, signal);
    await using file = await open(target.memoryFile, "r+");
    await file.truncate(sizeBytes);
    await thread.ask(
      { call: "open", source: { pid: subject.identity.pid, start, sizeBytes }, file: target.memoryFile },
      signal,
    );
    // What was opened belongs to this process, and to no later one with its pid.
    if (!isAlive(subject.identity)) throw new Error("the VMM ended");
    // Everything is copied again in the end, but into a file that has its blocks by then.
    if (baseFile === undefined) await thread.ask({ call: "copy" }, signal);
    return new QemuCapture(subject, target, thread, ram);
  } catch (error) {
    await thread[Symbol.asyncDispose]();
    signal.throwIfAborted();
    throw captureFailure(subject, error);
  }
}

class QemuCapture implements Capture {
  readonly #subject: CaptureSubject;
  readonly #target: MachineCapture;
  readonly #thread: CaptureThread;
  readonly #ram: GuestRam;

  constructor(subject: CaptureSubject, target: MachineCapture, thread: CaptureThread, ram: GuestRam) {
    this.#subject = subject;
    this.#target = target;
    this.#thread = thread;
    this.#ram = ram;
  }

  async finish({ signal }: { signal: AbortSignal }): Promise<{ copiedBytes: number }> {
    const { control } = this.#subject;
    const { memoryFile, stateFile } = this.#target;
    try {
      if (!(await isPaused(control))) throw new Error("the machine is not paused");
      const [copiedBytes] = await Promise.all([
        this.#thread.ask({ call: "copy" }, signal),
        // Not live: QEMU then leaves its disks open for writing, as this machine goes on.
        control.command(
          "xen-save-devices-state",
          { filename: stateFile, live: false },
          { timeoutMs: saveTimeoutMs, signal },
        ),
      ]);
      await this.#verify(memoryFile);
      return { copiedBytes };
    } catch (error) {
      signal.throwIfAborted();
      throw captureFailure(this.#subject, error);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async #verify(memoryFile: string): Promise<void> {
    await using file = await open(memoryFile, "r");
    if ((await file.stat()).size !== this.#ram.sizeBytes) throw new Error("the memory file has another size");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#thread[Symbol.asyncDispose]();
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

/** Holes stay holes; where the file system can share blocks, nothing is copied. */
async function copySparse(from: string, to: string, signal: AbortSignal): Promise<void> {
  await run({ file: "cp", args: ["--reflink=auto", "--sparse=auto", "--", from, to], signal });
}

function captureFailure({ vmId, identity }: CaptureSubject, thrown: unknown): BangerError {
  const error = toBangerError(thrown);
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
