// Reads exact amounts from a stream of chunks, and hashes and counts everything that passes.
import { createHash } from "node:crypto";
import { TarError } from "./header.ts";

export class ByteReader {
  /** Bytes taken so far. */
  offset = 0;
  readonly #source: AsyncIterator<Buffer>;
  readonly #hash = createHash("sha256");
  #chunk: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next piece, at least 1 and at most `limit` bytes; undefined at the end. Valid until the next call. */
  async some(limit: number): Promise<Buffer | undefined> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#hash.update(next.value);
      this.#chunk = next.value;
    }
    const piece = this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(piece.length);
    this.offset += piece.length;
    return piece;
  }

  /** Exactly `length` bytes; undefined when the stream is at its end. Throws TarError when it ends within. */
  async take(length: number): Promise<Buffer | undefined> {
    if (this.#chunk.length >= length) return this.some(length);
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const piece = await this.some(missing);
      if (piece === undefined) {
        if (missing === length) return undefined;
        throw this.cutShort();
      }
      pieces.push(piece);
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** Passes over `length` bytes. */
  async skip(length: number): Promise<void> {
    for (let missing = length; missing > 0;) {
      const piece = await this.some(missing);
      if (piece === undefined) throw this.cutShort();
      missing -= piece.length;
    }
  }

  /** What to throw where the stream should not have ended. */
  cutShort(): TarError {
    return new TarError(`it is cut short at byte ${this.offset}`);
  }

  /** Reads to the end and returns the sha256 (hex) of the whole stream. */
  async finish(): Promise<string> {
    while ((await this.some(1024 * 1024)) !== undefined);
    return this.#hash.digest("hex");
  }
}
