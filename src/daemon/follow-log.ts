// A log file as a byte stream: what is in it, and on request what is added to it while its writer lives.
import { watch } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { Readable } from "node:stream";

export interface FollowLogOptions {
  follow: boolean;
  /** Whether more may be written. */
  isLive: () => boolean;
  signal: AbortSignal;
}

const chunkBytes = 64 * 1024;
/** How often a quiet log asks whether its writer still lives: the end of a VM is no event of its log file. */
const livenessIntervalMs = 500;

/** Bytes as they were written, control characters included. A file that does not exist is empty. Ends on abort. */
export function followLog(path: string, options: FollowLogOptions): Readable {
  return Readable.from(read(path, options), { objectMode: false });
}

async function* read(path: string, { follow, isLive, signal }: FollowLogOptions): AsyncGenerator<Buffer> {
  let offset = 0;
  using changes = follow ? changesOf(dirname(path), signal) : undefined;
  while (!signal.aborted) {
    // Asked before reading: what was written until then is read below.
    const mayGrow = isLive();
    for await (const chunk of readFrom(path, offset)) {
      // The writer's log may be cut when it grows too long: then it starts again.
      if (chunk === "truncated") offset = 0;
      else {
        offset += chunk.length;
        yield chunk;
      }
    }
    if (changes === undefined || !mayGrow) return;
    await changes.next();
  }
}

async function* readFrom(path: string, start: number): AsyncGenerator<Buffer | "truncated"> {
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  try {
    let offset = start;
    if ((await file.stat()).size < offset) {
      yield "truncated";
      offset = 0;
    }
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(chunkBytes), 0, chunkBytes, offset);
      if (bytesRead === 0) return;
      offset += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/** Wakes at a change in the directory, after the liveness interval, or on abort. Changes between two calls are not lost. */
function changesOf(directory: string, signal: AbortSignal): { next(): Promise<void> } & Disposable {
  let pending = false;
  let wake: (() => void) | undefined;
  const notify = () => {
    pending = true;
    wake?.();
  };
  const watcher = watch(directory, notify);
  watcher.on("error", notify);
  signal.addEventListener("abort", notify, { once: true });
  return {
    async next() {
      if (!pending && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const timer = setTimeout(resolve, livenessIntervalMs);
        await promise;
        clearTimeout(timer);
        wake = undefined;
      }
      pending = false;
    },
    [Symbol.dispose]() {
      watcher.close();
      signal.removeEventListener("abort", notify);
    },
  };
}
