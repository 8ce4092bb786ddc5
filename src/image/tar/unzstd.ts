// Decompresses zstd streams of any number of frames.
import { once } from "node:events";
import { constants, createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { FrameSplitter } from "./zstd-frames.ts";

const chunkBytes = 1024 * 1024;
/** Frames up to this size, of which there may be thousands, are decompressed at once. */
const smallFrameBytes = 128 * 1024;
const smallOutputBytes = 4 * 1024 * 1024;
/** Largest window: 128 MiB, which is what a hostile frame can make the decoder hold. */
const params = { [constants.ZSTD_d_windowLogMax]: 27 };

/** The plain bytes. Throws TarError, or an error of zlib, for what is damaged or cut short. */
export async function* unzstd(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const splitter = new FrameSplitter();
  let held: Buffer[] = [];
  let heldBytes = 0;
  let large: LargeFrame | undefined;
  try {
    for await (const chunk of source) {
      for (const { bytes, ends } of splitter.split(chunk)) {
        if (large === undefined) {
          held.push(bytes);
          heldBytes += bytes.length;
          const whole = ends && heldBytes <= smallFrameBytes ? smallFrame(Buffer.concat(held, heldBytes)) : undefined;
          if (whole !== undefined) yield whole;
          else if (ends || heldBytes > smallFrameBytes) {
            large = new LargeFrame();
            for (const piece of held) yield* large.write(piece);
          } else continue;
          held = [];
          heldBytes = 0;
        } else yield* large.write(bytes);
        if (ends && large !== undefined) {
          yield* large.end();
          large = undefined;
        }
      }
      // What is held on to has to survive the source's next chunk.
      held = held.map((piece) => Buffer.from(piece));
    }
    splitter.end();
  } finally {
    large?.destroy();
  }
}

/** Undefined when the frame is too large to be held in memory. */
function smallFrame(frame: Buffer): Buffer | undefined {
  try {
    return zstdDecompressSync(frame, { maxOutputLength: smallOutputBytes, params });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw error;
  }
}

/** A frame that is decompressed while it comes. */
class LargeFrame {
  readonly #decoder = createZstdDecompress({
    chunkSize: chunkBytes,
    params,
    readableObjectMode: true,
    readableHighWaterMark: 4,
  } as Parameters<typeof createZstdDecompress>[0]);
  #failure: Error | undefined;

  constructor() {
    this.#decoder.on("error", (error) => (this.#failure = error));
  }

  *#ready(): Generator<Buffer> {
    for (let piece = this.#read(); piece !== null; piece = this.#read()) yield piece;
  }

  #read(): Buffer | null {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#decoder.read() as Buffer | null;
  }

  /** Gives a part of the frame, and returns what has come out meanwhile. */
  async *write(bytes: Buffer): AsyncGenerator<Buffer> {
    let isTaken = false;
    this.#decoder.write(bytes, () => {
      isTaken = true;
      this.#decoder.emit("taken");
    });
    while (!isTaken) {
      yield* this.#ready();
      if (isTaken) break;
      await this.#changed(["taken", "readable"]);
    }
    yield* this.#ready();
  }

  /** What is left of the frame. */
  async *end(): AsyncGenerator<Buffer> {
    this.#decoder.end();
    while (!this.#decoder.readableEnded) {
      yield* this.#ready();
      if (this.#decoder.readableEnded) break;
      await this.#changed(["readable", "end"]);
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  destroy(): void {
    this.#decoder.destroy();
  }

  async #changed(events: readonly string[]): Promise<void> {
    const done = new AbortController();
    try {
      await Promise.race(events.map((event) => once(this.#decoder, event, { signal: done.signal })));
    } finally {
      done.abort();
    }
  }
}
