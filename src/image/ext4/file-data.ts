// Lays the contents of files into an image, one after the other, and says where they are. Stretches of zeros take no blocks.
import { blockBytes, isZero } from "./block-output.ts";
import type { BlockOutput } from "./block-output.ts";
import type { Extent } from "./extents.ts";

/** Zeros are looked for in pieces of this size: smaller ones would cut files into many extents. */
const windowBytes = 64 * 1024;

/** One file at a time: `write` and `skip` in any order, then `end`. */
export class FileData {
  readonly #output: BlockOutput;
  readonly #window = Buffer.alloc(windowBytes);
  #filled = 0;
  #logicalBlock = 0;
  #extents: Extent[] = [];

  constructor(output: BlockOutput) {
    this.#output = output;
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
    const physical = this.#output.append(data);
    const last = this.#extents.at(-1);
    if (last !== undefined && last.logical + last.blocks === logical && last.physical + last.blocks === physical) {
      last.blocks += blocks;
    } else this.#extents.push({ logical, physical, blocks });
  }
}
