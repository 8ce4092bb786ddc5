// Reads exact amounts from a stream of chunks, and hashes and counts everything that passes.
import { createHash } from "node:crypto";
import { discard } from "../../lib/discard.ts";
import { TarError } from "./header.ts";

export interface ByteReaderOptions {
  /** Hash of the whole stream. Default: sha256. */
  algorithm?: "sha256" | "sha512";
  /** Told of each chunk's length as it comes; may throw to stop the reader. */
  onChunk?: (bytes: number) => void;
  /** Nobody else has the chunks: the memory of each is given back when the next one is asked for. Default: false. */
  discards?: boolean;
}

export class ByteReader {
  /** Bytes taken so far. */
  offset = 0;
  readonly #source: AsyncIterator<Buffer>;
  readonly #hash;
  readonly #onChunk: (bytes: number) => void;
  readonly #discards: boolean;
  #chunk: Buffer = Buffer.alloc(0);
  /** All of the chunk that `#chunk` is the rest of. */
  #whole: Buffer | undefined;

  constructor(source: AsyncIterable<Buffer>, options: ByteReaderOptions = {}) {
    this.#source = source[Symbol.asyncIterator]();
    this.#hash = createHash(options.algorithm ?? "sha256");
    this.#onChunk = options.onChunk ?? (() => {});
    this.#discards = options.discards ?? false;
  }

  /** At most `limit` bytes of what is there already; undefined when that is nothing. Valid until the next call. */
  now(limit: number): Buffer | undefined {
    if (this.#chunk.length === 0) return undefined;
    const piece = this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(piece.length);
    this.offset += piece.length;
    return piece;
  }

  /** The next piece, at least 1 and at most `limit` bytes; undefined at the end. Valid until the next call. */
  async some(limit: number): Promise<Buffer | undefined> {
    return (await this.#fill()) ? this.now(limit) : undefined;
  }

  /** Exactly `length` bytes; undefined when the stream is at its end. Throws TarError when it ends within. */
  async take(length: number): Promise<Buffer | undefined> {
    if (this.#chunk.length >= length) return this.now(length);
    const pieces: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const piece = await this.some(missing);
      if (piece === undefined) {
        if (missing === length) return undefined;
        throw this.cutShort();
      }
      pieces.push(Buffer.from(piece));
      missing -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  /** The next `length` bytes without taking them; fewer at the end. */
  async peek(length: number): Promise<Buffer> {
    if (this.#chunk.length < length) {
      const pieces = [Buffer.from(this.#chunk)];
      for (let have = this.#chunk.length; have < length;) {
        this.#chunk = Buffer.alloc(0);
        if (!(await this.#fill())) break;
        pieces.push(Buffer.from(this.#chunk));
        have += this.#chunk.length;
      }
      this.#chunk = Buffer.concat(pieces);
    }
    return this.#chunk.subarray(0, length);
  }

  /** Passes `length` bytes to `use`. */
  async pass(length: number, use: (piece: Buffer) => void): Promise<void> {
    for (let missing = length; missing > 0;) {
      const piece = this.now(missing) ?? (await this.some(missing));
      if (piece === undefined) throw this.cutShort();
      missing -= piece.length;
      use(piece);
    }
  }

  /** Passes over `length` bytes. */
  async skip(length: number): Promise<void> {
    await this.pass(length, () => {});
  }

  /** What to throw where the stream should not have ended. */
  cutShort(): TarError {
    return new TarError(`it is cut short at byte ${this.offset}`);
  }

  /** Reads to the end and returns the hash (hex) of the whole stream. */
  async finish(): Promise<string> {
    while ((await this.some(1024 * 1024)) !== undefined);
    return this.#hash.digest("hex");
  }

  /** Gets the next chunk when there is none; false at the end. */
  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      if (this.#discards && this.#whole !== undefined) discard(this.#whole);
      this.#whole = undefined;
      const next = await this.#source.next();
      if (next.done === true) return false;
      this.#onChunk(next.value.length);
      this.#hash.update(next.value);
      this.#chunk = next.value;
      this.#whole = next.value;
    }
    return true;
  }
}
