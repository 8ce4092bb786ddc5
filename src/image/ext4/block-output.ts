// Appends whole blocks to a file through one buffer, and remembers where it is; what was appended can be written over. Blocks
// of zeros become holes. Writes are synchronous: whoever owns an output runs in a thread of its own.
import { writeSync } from "node:fs";

export const blockBytes = 4096;
const bufferBlocks = 256;

export class BlockOutput {
  readonly #descriptor: number;
  readonly #beforeWrite: (bytes: number) => void;
  readonly #buffer = Buffer.alloc(bufferBlocks * blockBytes);
  #flushedBlock: number;
  #filled = 0;
  /** Blocks that are written over what was written before; empty until there are any. */
  #over: Buffer = Buffer.alloc(0);
  #overFirst = 0;
  #overFilled = 0;

  /** `beforeWrite` is told how many bytes are about to be written, and may throw to stop it. */
  constructor(descriptor: number, firstBlock: number, beforeWrite: (bytes: number) => void = () => {}) {
    this.#descriptor = descriptor;
    this.#flushedBlock = firstBlock;
    this.#beforeWrite = beforeWrite;
  }

  /** Appends bytes; `pad` then fills the last block with zeros. */
  write(data: Buffer): void {
    for (let at = 0; at < data.length;) {
      const copied = data.copy(this.#buffer, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === this.#buffer.length) this.flush();
    }
  }

  /** Ends a run of bytes at a block boundary. Returns the number of the block after it. */
  pad(): number {
    const rest = this.#filled % blockBytes;
    if (rest !== 0) {
      const end = this.#filled + blockBytes - rest;
      this.#buffer.fill(0, this.#filled, end);
      this.#filled = end;
      if (this.#filled === this.#buffer.length) this.flush();
    }
    return this.#flushedBlock + this.#filled / blockBytes;
  }

  /** Appends bytes as whole blocks; returns the first one's number. */
  append(data: Buffer): number {
    const first = this.pad();
    this.write(data);
    this.pad();
    return first;
  }

  /** Writes whole blocks over those from `first` on, which were appended before. */
  overwrite(first: number, data: Buffer): void {
    const flushed = Math.max(0, this.#flushedBlock - first) * blockBytes;
    if (flushed < data.length) {
      const start = (first - this.#flushedBlock) * blockBytes + flushed;
      const length = data.copy(this.#buffer, start, flushed);
      this.#buffer.fill(0, start + length, start + Math.ceil(length / blockBytes) * blockBytes);
    }
    const below = data.subarray(0, flushed);
    for (let at = 0; at < below.length;) {
      const block = first + at / blockBytes;
      if (this.#overFirst + this.#overFilled / blockBytes !== block || this.#overFilled === this.#over.length) {
        this.#flushOver(block);
      }
      const copied = below.copy(this.#over, this.#overFilled, at);
      at += copied;
      const end = Math.ceil((this.#overFilled + copied) / blockBytes) * blockBytes;
      this.#over.fill(0, this.#overFilled + copied, end);
      this.#overFilled = end;
    }
  }

  #flushOver(next: number): void {
    if (this.#over.length === 0) this.#over = Buffer.alloc(bufferBlocks * blockBytes);
    const used = this.#over.subarray(0, this.#overFilled);
    if (used.length > 0) {
      this.#beforeWrite(used.length);
      writeAll(this.#descriptor, used, this.#overFirst * blockBytes);
    }
    this.#overFirst = next;
    this.#overFilled = 0;
  }

  /** Writes what is buffered, which has to end at a block boundary. */
  flush(): void {
    if (this.#overFilled > 0) this.#flushOver(0);
    const used = this.#buffer.subarray(0, this.#filled);
    // A hole reads as zeros: the file was empty when it was made.
    if (used.length > 0 && !isZero(used)) {
      this.#beforeWrite(used.length);
      writeAll(this.#descriptor, used, this.#flushedBlock * blockBytes);
    }
    this.#flushedBlock += this.#filled / blockBytes;
    this.#filled = 0;
  }
}

const zeros = Buffer.alloc(bufferBlocks * blockBytes);

/** Whether all of at most 1 MiB are zeros. */
export function isZero(data: Buffer): boolean {
  return data[0] === 0 && data.equals(zeros.subarray(0, data.length));
}

/** Writes all bytes at a position. */
export function writeAll(descriptor: number, data: Buffer, position: number): void {
  for (let at = 0; at < data.length;) at += writeSync(descriptor, data, at, data.length - at, position + at);
}
