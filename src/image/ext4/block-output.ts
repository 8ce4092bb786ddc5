// Appends whole blocks to a file through one buffer, and remembers where it is. Blocks of zeros become holes.
import type { FileHandle } from "node:fs/promises";

export const blockBytes = 4096;
const bufferBlocks = 256;

export class BlockOutput {
  /** Number of the block that is written next. */
  nextBlock: number;
  readonly #file: FileHandle;
  readonly #buffer = Buffer.alloc(bufferBlocks * blockBytes);
  #filled = 0;

  constructor(file: FileHandle, firstBlock: number) {
    this.#file = file;
    this.nextBlock = firstBlock;
  }

  /** Appends bytes; `pad` then fills the last block with zeros. */
  async write(data: Buffer): Promise<void> {
    for (let at = 0; at < data.length;) {
      const copied = data.copy(this.#buffer, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === this.#buffer.length) await this.#flush();
    }
  }

  /** Ends a run of bytes at a block boundary. Returns the number of the block after it. */
  async pad(): Promise<number> {
    const rest = this.#filled % blockBytes;
    if (rest !== 0) {
      const end = this.#filled + blockBytes - rest;
      this.#buffer.fill(0, this.#filled, end);
      this.#filled = end;
      if (this.#filled === this.#buffer.length) await this.#flush();
    }
    return this.nextBlock + this.#filled / blockBytes;
  }

  /** Appends bytes as whole blocks; returns the first one's number. */
  async append(data: Buffer): Promise<number> {
    const first = await this.pad();
    await this.write(data);
    await this.pad();
    return first;
  }

  /** Writes what is buffered. To be called once at the end, after `pad`. */
  async finish(): Promise<void> {
    await this.#flush();
  }

  async #flush(): Promise<void> {
    const used = this.#buffer.subarray(0, this.#filled);
    // A hole reads as zeros: the file was empty when it was made.
    if (used.length > 0 && !isZero(used)) await writeAll(this.#file, used, this.nextBlock * blockBytes);
    this.nextBlock += this.#filled / blockBytes;
    this.#filled = 0;
  }
}

const zeros = Buffer.alloc(bufferBlocks * blockBytes);

function isZero(data: Buffer): boolean {
  return data[0] === 0 && data.equals(zeros.subarray(0, data.length));
}

/** Writes all bytes at a position. */
export async function writeAll(file: FileHandle, data: Buffer, position: number): Promise<void> {
  for (let at = 0; at < data.length;) {
    const { bytesWritten } = await file.write(data, at, data.length - at, position + at);
    at += bytesWritten;
  }
}
