// Decompresses zstd streams of any number of frames.
import { constants, createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { DecoderPump, pumpedOptions } from "./decoder-pump.ts";
import { FrameSplitter } from "./zstd-frames.ts";

/** Frames up to this size, of which there may be thousands, are decompressed at once. */
const smallFrameBytes = 128 * 1024;
const smallOutputBytes = 4 * 1024 * 1024;
/** Largest window: 128 MiB, which is what a hostile frame can make the decoder hold. */
const params = { [constants.ZSTD_d_windowLogMax]: 27 };

/**
 * The plain bytes. Throws TarError, or an error of zlib, for what is damaged or cut short. `used` is called with each chunk
 * when it is of no use any more.
 */
export async function* unzstd(
  source: AsyncIterable<Buffer>,
  used: (chunk: Buffer) => void = () => {},
): AsyncGenerator<Buffer> {
  const splitter = new FrameSplitter();
  let held: Buffer[] = [];
  let heldBytes = 0;
  let large: DecoderPump | undefined;
  try {
    for await (const chunk of source) {
      for (const { bytes, ends } of splitter.split(chunk)) {
        if (large === undefined) {
          held.push(bytes);
          heldBytes += bytes.length;
          const whole = ends && heldBytes <= smallFrameBytes ? smallFrame(Buffer.concat(held, heldBytes)) : undefined;
          if (whole !== undefined) yield whole;
          else if (ends || heldBytes > smallFrameBytes) {
            large = new DecoderPump(createZstdDecompress({ ...pumpedOptions, params }));
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
      used(chunk);
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
