// Who copies the pages of one capture: threads where there is much to copy, the daemon's own where starting them would take longer.
import { setImmediate as others } from "node:timers/promises";
import { type CopyTarget, PageCopy } from "./page-copy.ts";
import { type MemorySource, ownsMoreThan } from "./page-map.ts";
import { CaptureThreads } from "./threads.ts";

/** Dispose lets go of what it holds open; whoever waits for an answer then gets an error. */
export interface Copier extends AsyncDisposable {
  /** There is so little to copy that nobody has to wait for it before the machine is stopped. */
  readonly isQuick: boolean;
  /** Opens the memory of a process, and where it goes. Throws an error with the `code` of the system call. */
  open(source: MemorySource, target: CopyTarget, signal: AbortSignal): Promise<void>;
  /** Copies the process's own pages. Resolves with the bytes that were written; throws as `open` does. */
  copy(signal: AbortSignal): Promise<number>;
}

/** Threads take 45 ms and two processors to start: as long as one takes to copy this much. */
const maxOwnThreadBytes = 32 * 1024 * 1024;
/** The daemon answers others after each such time at the latest, and a piece of 1 MiB. */
const turnMs = 0.5;

/** For this memory. Throws an error with the `code` of the system call. */
export async function createCopier(source: MemorySource): Promise<Copier> {
  return (await isLittle(source)) ? new OwnThread() : new CaptureThreads();
}

/** Whether so little of the memory is the process's own that no thread has to be started to copy it. Throws as `createCopier` does. */
export async function isLittle(source: MemorySource): Promise<boolean> {
  return !(await ownsMoreThan(source, maxOwnThreadBytes));
}

/** The daemon's own thread, in turns. */
export class OwnThread implements Copier {
  readonly isQuick = true;
  readonly #ended = new AbortController();
  #pages: PageCopy | undefined;
  #copying: Promise<number> | undefined;

  async open(source: MemorySource, target: CopyTarget): Promise<void> {
    this.#pages = new PageCopy(source, { index: 0, of: 1 }, target);
  }

  async copy(signal: AbortSignal): Promise<number> {
    this.#copying = this.#copy(AbortSignal.any([signal, this.#ended.signal]));
    return await this.#copying;
  }

  async #copy(signal: AbortSignal): Promise<number> {
    let written = 0;
    let sinceMs = performance.now();
    for (const bytes of this.#pages?.pieces() ?? []) {
      written += bytes;
      if (performance.now() - sinceMs < turnMs) continue;
      await others();
      signal.throwIfAborted();
      sinceMs = performance.now();
    }
    return written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort(new Error("the capture was given up"));
    await this.#copying?.catch(() => {});
    this.#pages?.[Symbol.dispose]();
  }
}
