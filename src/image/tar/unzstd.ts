// Decompresses zstd streams of any number of frames.
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
  #changed = Promise.withResolvers<void>();
  #untaken = 0;

  constructor() {
    const change = () => this.#changed.resolve();
    this.#decoder.on("readable", change);
    this.#decoder.on("end", change);
    this.#decoder.on("error", (error) => {
      this.#failure = error;
      change();
    });
  }

  /** Gives a part of the frame, and returns what has come out meanwhile. */
  async *write(bytes: Buffer): AsyncGenerator<Buffer> {
    this.#untaken++;
    this.#decoder.write(bytes, () => {
      this.#untaken--;
      this.#changed.resolve();
    });
    for (yield* this.#ready(); this.#untaken > 0; yield* this.#ready()) await this.#change();
  }

  /** What is left of the frame. */
  async *end(): AsyncGenerator<Buffer> {
    this.#decoder.end();
    for (yield* this.#ready(); !this.#decoder.readableEnded; yield* this.#ready()) await this.#change();
  }

  destroy(): void {
    this.#decoder.destroy();
  }

  async #change(): Promise<void> {
    await this.#changed.promise;
    this.#changed = Promise.withResolvers();
  }

  *#ready(): Generator<Buffer> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      const piece = this.#decoder.read() as Buffer | null;
      if (piece === null) return;
      yield piece;
    }
  }
}
