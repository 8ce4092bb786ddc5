// Copies guest memory page by page out of a running process into a sparse file. Blocks its thread: runs in the capture's workers, or
// in small pieces where there is little to copy.
import { closeSync, openSync } from "node:fs";
import { type MemorySource, PageMap, type Share, ownPages, pageBytes, readFully, writeFully } from "./page-map.ts";

/** Pages that are copied at once: so many that reading, comparing and writing them find them in the processor's cache. */
const pagesAtOnce = 256;

/** Where pages go: a memory file, or the memory of another process. It exists and has its size. */
export interface CopyTarget {
  path: string;
  /** Offset of the memory's first byte in it. */
  at: number;
}

/** Open files and buffers of one thread for one capture. Opening proves that the host allows it. */
export class PageCopy implements Disposable {
  readonly #source: MemorySource;
  readonly #share: Share;
  readonly #fds: number[] = [];
  readonly #memory: number;
  readonly #map: PageMap;
  readonly #file: number;
  readonly #at: number;
  readonly #pages = Buffer.alloc(pagesAtOnce * pageBytes);
  readonly #oldPages = Buffer.alloc(pagesAtOnce * pageBytes);

  /** Throws what opening throws. */
  constructor(source: MemorySource, share: Share, target: CopyTarget) {
    this.#source = source;
    this.#at = target.at;
    this.#share = share;
    this.#map = new PageMap(source);
    try {
      this.#memory = this.#open(`/proc/${source.pid}/mem`, "r");
      this.#file = this.#open(target.path, "r+");
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Brings every page of the process's own in this share to its place in the target, and returns how many bytes it wrote: only what
   * is not there yet. So zeros stay holes, and a page of the file that is on its way to the disk is not waited for.
   */
  copy(): number {
    let written = 0;
    for (const bytes of this.pieces()) written += bytes;
    return written;
  }

  /** As `copy`, in pieces of at most 1 MiB: yields how many bytes each has written. Looking for pages to copy takes its time, too. */
  *pieces(): Generator<number, void> {
    for (const [first, entries] of this.#map.parts(this.#share)) {
      yield 0;
      for (const [from, to] of ownPages(entries, pagesAtOnce)) yield this.#copyRun(first + from, first + to);
    }
  }

  #copyRun(from: number, to: number): number {
    const run = this.#pages.subarray(0, (to - from) * pageBytes);
    const old = this.#oldPages.subarray(0, run.length);
    readFully(this.#memory, run, this.#source.start + from * pageBytes);
    readFully(this.#file, old, this.#at + from * pageBytes);
    if (run.equals(old)) return 0;
    let written = 0;
    const flush = (start: number, end: number) => {
      if (end === start) return;
      writeFully(this.#file, run.subarray(start, end), this.#at + from * pageBytes + start);
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
    this.#map[Symbol.dispose]();
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}
