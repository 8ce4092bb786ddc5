// Copies guest memory page by page out of a running process into a sparse file. Blocks its thread: runs in the capture's workers, or
// in small pieces where there is little to copy.
import { closeSync, openSync, readSync, writeSync } from "node:fs";

/** Size of the pages of /proc/<pid>/pagemap. Gap: hosts with pages of 16 or 64 KiB (some arm64 kernels). */
export const pageBytes = 4096;
const entryBytes = 8;
/** Pages that are looked up at once, and a thread's share of memory before it is the next one's turn: 16 MiB. */
const entriesAtOnce = 4096;
/** Pages that are copied at once: so many that reading, comparing and writing them find them in the processor's cache. */
const pagesAtOnce = 256;

/** Bits of the upper half of an entry of pagemap (Documentation/admin-guide/mm/pagemap.rst). */
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

/** Which pieces of memory one of several threads copies: every `of`-th, from number `index` on. */
export interface Share {
  index: number;
  of: number;
}

/** Open files and buffers of one thread for one capture. Opening proves that the host allows it. */
export class PageCopy implements Disposable {
  readonly #source: MemorySource;
  readonly #share: Share;
  readonly #fds: number[] = [];
  readonly #memory: number;
  readonly #pagemap: number;
  readonly #file: number;
  readonly #entries = new Uint32Array(2 * entriesAtOnce);
  readonly #pages = Buffer.alloc(pagesAtOnce * pageBytes);
  readonly #oldPages = Buffer.alloc(pagesAtOnce * pageBytes);

  /** `file` exists and has the size of the memory. Throws what opening throws. */
  constructor(source: MemorySource, share: Share, file: string) {
    this.#source = source;
    this.#share = share;
    try {
      this.#memory = this.#open(`/proc/${source.pid}/mem`, "r");
      this.#pagemap = this.#open(`/proc/${source.pid}/pagemap`, "r");
      this.#file = this.#open(file, "r+");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Brings every page of the process's own in this share to its place in the file, and returns how many bytes it wrote: only what
   * is not there yet. So zeros stay holes, and a page of the file that is on its way to the disk is not waited for.
   */
  copy(): number {
    let written = 0;
    for (const bytes of this.pieces()) written += bytes;
    return written;
  }

  /** As `copy`, in pieces of at most 1 MiB: yields how many bytes each has written. */
  *pieces(): Generator<number, void> {
    const { sizeBytes } = this.#source;
    const pages = sizeBytes / pageBytes;
    const step = this.#share.of * entriesAtOnce;
    for (let first = this.#share.index * entriesAtOnce; first < pages; first += step) {
      const entries = this.#entries.subarray(0, 2 * Math.min(entriesAtOnce, pages - first));
      const position = (this.#source.start / pageBytes + first) * entryBytes;
      readFully(this.#pagemap, Buffer.from(entries.buffer, entries.byteOffset, entries.byteLength), position);
      for (const [from, to] of ownPages(entries, pagesAtOnce)) yield this.#copyRun(first + from, first + to);
    }
  }

  #copyRun(from: number, to: number): number {
    const run = this.#pages.subarray(0, (to - from) * pageBytes);
    const old = this.#oldPages.subarray(0, run.length);
    readFully(this.#memory, run, this.#source.start + from * pageBytes);
    readFully(this.#file, old, from * pageBytes);
    if (run.equals(old)) return 0;
    let written = 0;
    const flush = (start: number, end: number) => {
      if (end === start) return;
      writeFully(this.#file, run.subarray(start, end), from * pageBytes + start);
      written += end - start;
    };
    let start = 0;
    for (let at = 0; at < run.length; at += pageBytes) {
      if (run.compare(old, at, at + pageBytes, at, at + pageBytes) !== 0) continue;
      flush(start, at);
      start = at + pageBytes;
    }
    flush(start, run.length);
    return written;
  }

  #open(path: string, flags: string): number {
    const fd = openSync(path, flags);
    this.#fds.push(fd);
    return fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

function readFully(fd: number, buffer: Buffer, position: number): void {
  for (let done = 0; done < buffer.length;) {
    const count = readSync(fd, buffer, done, buffer.length - done, position + done);
    // The memory of a process that ended reads as nothing.
    if (count === 0) throw new Error("the VMM ended, or its memory became smaller, while it was read");
    done += count;
  }
}

function writeFully(fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, position + done);
  }
}
