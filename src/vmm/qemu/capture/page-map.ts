// Which pages of a process are its own, as the kernel says it in /proc/<pid>/pagemap.
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { setImmediate as others } from "node:timers/promises";

/** Size of the pages that pagemap tells of. Gap: hosts with pages of 16 or 64 KiB (some arm64 kernels). */
export const pageBytes = 4096;
const entryBytes = 8;
/** Pages that are looked up at once, and a thread's share of memory before it is the next one's turn: 16 MiB. */
const entriesAtOnce = 4096;

/** Bits of the upper half of an entry (Documentation/admin-guide/mm/pagemap.rst). */
const present = 0x8000_0000;
const swapped = 0x4000_0000;
const ofFile = 0x2000_0000;

export interface MemorySource {
  pid: number;
  start: number;
  sizeBytes: number;
}

/** Entries [from, to) of consecutive pages. */
export type PageRun = readonly [from: number, to: number];

/** Runs of pages that are the process's own: changed since they were mapped from a file, or of no file at all. */
export function ownPages(entries: Uint32Array, maxPages: number): PageRun[] {
  const runs: PageRun[] = [];
  const count = entries.length / 2;
  // As signed numbers: a bit operation gives one.
  const own = (page: number) => {
    const upper = entries[2 * page + 1] ?? 0;
    return (upper & (present | swapped)) !== 0 && (upper & ofFile) === 0;
  };
  for (let from = 0; from < count; from++) {
    if (!own(from)) continue;
    let to = from + 1;
    while (to < count && to - from < maxPages && own(to)) to++;
    runs.push([from, to]);
    from = to - 1;
  }
  return runs;
}

/** Which pieces of memory one of several threads looks at: every `of`-th, from number `index` on. */
export interface Share {
  index: number;
  of: number;
}

const all: Share = { index: 0, of: 1 };

/** The open pagemap of one process. */
export class PageMap implements Disposable {
  readonly #source: MemorySource;
  readonly #fd: number;
  readonly #entries = new Uint32Array(2 * entriesAtOnce);

  /** Throws what opening throws. */
  constructor(source: MemorySource) {
    this.#source = source;
    this.#fd = openSync(`/proc/${source.pid}/pagemap`, "r");
  }

  /** Entries piece by piece, each with the number of its first page; they are good until the next piece. Throws what reading throws. */
  *parts(share: Share): Generator<readonly [first: number, entries: Uint32Array], void> {
    const { sizeBytes, start } = this.#source;
    const pages = sizeBytes / pageBytes;
    for (let first = share.index * entriesAtOnce; first < pages; first += share.of * entriesAtOnce) {
      const entries = this.#entries.subarray(0, 2 * Math.min(entriesAtOnce, pages - first));
      const bytes = Buffer.from(entries.buffer, entries.byteOffset, entries.byteLength);
      readFully(this.#fd, bytes, (start / pageBytes + first) * entryBytes);
      yield [first, entries];
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Whether more than `maxBytes` of the memory are the process's own. Throws what opening and reading throw. */
export async function ownsMoreThan(source: MemorySource, maxBytes: number): Promise<boolean> {
  using map = new PageMap(source);
  let pages = 0;
  for (const [, entries] of map.parts(all)) {
    for (const [from, to] of ownPages(entries, entriesAtOnce)) pages += to - from;
    if (pages * pageBytes > maxBytes) return true;
    await others();
  }
  return false;
}

/** Throws when there are fewer bytes: the memory of a process that ended reads as nothing. */
export function readFully(fd: number, buffer: Buffer, position: number): void {
  for (let done = 0; done < buffer.length;) {
    const count = readSync(fd, buffer, done, buffer.length - done, position + done);
    if (count === 0) throw new Error("the VMM ended, or its memory became smaller, while it was read");
    done += count;
  }
}

/** Throws when there is no room for all: the memory of a process that ended takes nothing, and says so by no error. */
export function writeFully(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length;) {
    const count = writeSync(fd, bytes, done, bytes.length - done, position + done);
    if (count === 0) throw new Error("the VMM ended, or its memory became smaller, while it was written to");
    done += count;
  }
}
