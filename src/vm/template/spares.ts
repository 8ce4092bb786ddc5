// Spare copies of the memory of templates (src/vmm/spare-memory.ts): a capture of a machine that came out of a template takes one
// in place of copying. Made in the background, and only for templates whose machines are captured.
import { randomBytes } from "node:crypto";
import { chmod, constants, copyFile, lstat, realpath, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../../lib/log.ts";
import { findTool, run } from "../../lib/run.ts";
import { mib } from "../../lib/units.ts";
import { spareOf } from "../../vmm/spare-memory.ts";
import type { CaptureTurn } from "../context.ts";
import { requireRoom } from "./make.ts";
import type { TemplateStore } from "./store.ts";

export interface SparesOptions {
  store: TemplateStore;
  /** Room for all templates with their spares. */
  maxBytes: number;
  log: Pick<Logger, "info">;
  /** Rest between a capture and the copy: what the capture was for comes first. Default 1000 ms. */
  restMs?: number;
}

/** Dispose ends what is being copied. */
export class Spares implements AsyncDisposable {
  readonly #options: SparesOptions;
  readonly #closing = new AbortController();
  /** Templates whose spare is to be made. */
  readonly #wanted = new Set<string>();
  #captures = 0;
  #making: Promise<void> | undefined;
  /** The file system shares blocks: a copy costs nothing there. */
  #shared = false;

  constructor(options: SparesOptions) {
    this.#options = options;
  }

  /** See `Templates.capturing`. */
  capturing(): CaptureTurn {
    this.#captures += 1;
    let held = true;
    return {
      based: (memoryFile) => {
        const id = basename(dirname(memoryFile));
        if (this.#options.store.get(id) !== undefined) this.#wanted.add(id);
      },
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        this.#captures -= 1;
        this.#start();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the daemon is stopping"));
    await this.#making;
  }

  #start(): void {
    this.#making ??= this.#makeAll().finally(() => {
      this.#making = undefined;
      // Of captures that ended while this one did.
      if (this.#isDue()) this.#start();
    });
  }

  #isDue(): boolean {
    return this.#captures === 0 && this.#wanted.size > 0 && !this.#closing.signal.aborted && !this.#shared;
  }

  /** Never rejects. */
  async #makeAll(): Promise<void> {
    while (this.#isDue()) {
      await delay(this.#options.restMs ?? 1000, undefined, { signal: this.#closing.signal }).catch(() => {});
      const [id] = this.#wanted;
      if (!this.#isDue() || id === undefined) return;
      this.#wanted.delete(id);
      try {
        await this.#make(id);
      } catch (error) {
        if (!this.#closing.signal.aborted) {
          this.#options.log.info("no spare copy of a memory template was made", { template: id, error });
        }
      }
    }
  }

  async #make(id: string): Promise<void> {
    const { maxBytes, store } = this.#options;
    // Its directory stays until this is over; what is to be removed is not copied to the end.
    using held = store.hold(id);
    if (held === undefined) return;
    const signal = AbortSignal.any([this.#closing.signal, held.removed]);
    // As the kernel tells it of a machine that maps the file.
    const memoryFile = await realpath(held.capture.memoryFile);
    const spare = spareOf(memoryFile);
    const there = await lstat(spare).then(
      () => true,
      () => false,
    );
    if (there) return;
    await store.countSpare(id);
    if (!(await store.hasRoomForSpare(id, maxBytes))) return;
    await requireRoom(dirname(spare), held.memoryMib * mib);
    const staging = `${spare}.${randomBytes(6).toString("hex")}.tmp`;
    try {
      this.#shared = await canShare(memoryFile, staging);
      if (this.#shared) return;
      await copyInBackground(memoryFile, staging, signal);
      signal.throwIfAborted();
      // A template that came meanwhile goes first.
      if (!(await store.hasRoomForSpare(id, maxBytes))) return;
      await rename(staging, spare);
      await store.countSpare(id);
    } finally {
      await rm(staging, { force: true });
    }
  }
}

/** Whether a copy of `from` shares its blocks. Leaves one at `to` when it does. */
async function canShare(from: string, to: string): Promise<boolean> {
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    await rm(to, { force: true });
    return false;
  }
}

/** Copies with the holes, whenever nobody else wants the processors or the disk. */
async function copyInBackground(from: string, to: string, signal: AbortSignal): Promise<void> {
  const copy = ["cp", "--reflink=never", "--sparse=auto", "--", from, to];
  const calm = [
    ...(findTool("chrt") === undefined ? [] : ["chrt", "--idle", "0"]),
    ...(findTool("ionice") === undefined ? [] : ["ionice", "-c", "3", "-t"]),
  ];
  const [file = "cp", ...args] = [...calm, ...copy];
  await run({ file, args, signal });
  await chmod(to, 0o600);
}
