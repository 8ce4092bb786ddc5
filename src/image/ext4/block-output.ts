// Appends whole blocks to a file through one buffer, and remembers where it is. Blocks of zeros become holes. Writes are
// synchronous: whoever owns an output runs in a thread of its own.
import { writeSync } from "node:fs";

export const blockBytes = 4096;
const bufferBlocks = 256;

export class BlockOutput {
  readonly #descriptor: number;
  readonly #beforeWrite: (bytes: number) => void;
  readonly #buffer = Buffer.alloc(bufferBlocks * blockBytes);
  #flushedBlock: number;
  #filled = 0;

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

  /** Writes what is buffered, which has to end at a block boundary. */
  flush(): void {
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
