// Lays the contents of files into an image, one after the other, and says where they are: into blocks that were freed, or at
// the end. Stretches of zeros take no blocks.
import { blockBytes, isZero } from "./block-output.ts";
import type { BlockOutput } from "./block-output.ts";
import type { Extent } from "./extents.ts";
import { FreeRuns } from "./free-runs.ts";

/** Zeros are looked for in pieces of this size: smaller ones would cut files into many extents. */
const windowBytes = 64 * 1024;
/** A file that fits no free run as a whole is laid into several, if they are at least this long. */
const leastPartBlocks = 256;

/** One file at a time: `begin`, `write` and `skip` in any order, then `end`. */
export class FileData {
  readonly #output: BlockOutput;
  readonly #window = Buffer.alloc(windowBytes);
  #filled = 0;
  #logicalBlock = 0;
  #extents: Extent[] = [];
  readonly #free = new FreeRuns();
  /** Blocks that the file was promised and has not used. */
  #promised = { first: 0, blocks: 0 };
  /** Blocks that it may need besides them. */
  #wanted = 0;

  constructor(output: BlockOutput) {
    this.#output = output;
  }

  /** `dataBytes`: how much of it is no hole; the worse it is guessed, the worse is the place. */
  begin(dataBytes: number): void {
    const blocks = Math.ceil(dataBytes / blockBytes);
    const first = blocks === 0 || blocks >= 2 ** 31 ? undefined : this.#free.take(blocks);
    if (first === undefined) this.#wanted = blocks;
    else this.#promised = { first, blocks };
  }

  /** Says that nothing uses these blocks of a file any more. */
  reclaim(extents: readonly Extent[]): void {
    for (const { physical, blocks } of extents) this.#free.add(physical, blocks);
  }

  /** Stores whole blocks that belong to no file's contents, in one piece; returns the first one's number. */
  store(blocks: Buffer): number {
    const first = this.#free.take(blocks.length / blockBytes);
    if (first === undefined) return this.#output.append(blocks);
    this.#output.overwrite(first, blocks);
    return first;
  }

  write(data: Buffer): void {
    for (let at = 0; at < data.length;) {
      if (this.#filled === 0 && data.length - at >= windowBytes) {
        this.#put(data.subarray(at, at + windowBytes));
        at += windowBytes;
        continue;
      }
      const copied = data.copy(this.#window, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === windowBytes) this.#putWindow();
    }
  }

  /** Goes on as if `bytes` zeros had been written. */
  skip(bytes: number): void {
    for (let left = bytes; left > 0;) {
      if (this.#filled === 0 && left >= windowBytes) {
        const whole = left - (left % windowBytes);
        this.#logicalBlock += whole / blockBytes;
        left -= whole;
        continue;
      }
      const count = Math.min(left, windowBytes - this.#filled);
      this.#window.fill(0, this.#filled, this.#filled + count);
      this.#filled += count;
      left -= count;
      if (this.#filled === windowBytes) this.#putWindow();
    }
  }

  /** Where the file's data lies. What is not in an extent reads as zeros. */
  end(): readonly Extent[] {
    if (this.#filled > 0) this.#putWindow();
    const extents = this.#extents;
    this.#extents = [];
    this.#logicalBlock = 0;
    this.#free.add(this.#promised.first, this.#promised.blocks);
    this.#promised = { first: 0, blocks: 0 };
    this.#wanted = 0;
    return extents;
  }

  #putWindow(): void {
    this.#put(this.#window.subarray(0, this.#filled));
    this.#filled = 0;
  }

  #put(data: Buffer): void {
    const blocks = Math.ceil(data.length / blockBytes);
    const logical = this.#logicalBlock;
    this.#logicalBlock += blocks;
    if (isZero(data)) return;
    for (let done = 0; done < blocks;) {
      const promised = this.#promise();
      const count = promised === undefined ? blocks - done : Math.min(promised.blocks, blocks - done);
      const part = data.subarray(done * blockBytes, (done + count) * blockBytes);
      let physical: number;
      if (promised === undefined) physical = this.#output.append(part);
      else {
        physical = promised.first;
        this.#output.overwrite(physical, part);
        promised.first += count;
        promised.blocks -= count;
      }
      this.#extend({ logical: logical + done, physical, blocks: count });
      done += count;
    }
  }

  /** Free blocks for what comes next; undefined when it belongs at the end. */
  #promise(): { first: number; blocks: number } | undefined {
    if (this.#promised.blocks > 0) return this.#promised;
    if (this.#wanted < leastPartBlocks) return undefined;
    const part = this.#free.takeLargest(leastPartBlocks, this.#wanted);
    this.#wanted = part === undefined ? 0 : this.#wanted - part.blocks;
    if (part !== undefined) this.#promised = part;
    return part;
  }

  #extend(run: Extent): void {
    const last = this.#extents.at(-1);
    if (
      last !== undefined &&
      last.logical + last.blocks === run.logical &&
      last.physical + last.blocks === run.physical
    ) {
      last.blocks += run.blocks;
    } else this.#extents.push(run);
  }
}
