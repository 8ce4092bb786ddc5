// Opens archive files, and makes plain tar bytes of what is compressed with gzip, zstd or xz.
import { constants, open } from "node:fs/promises";
import { PassThrough, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { run } from "../../lib/run.ts";
import { DecoderPump, pumpedOptions } from "./decoder-pump.ts";
import { discard } from "../../lib/discard.ts";
import { TarError } from "./header.ts";
import { unzstd } from "./unzstd.ts";

const chunkBytes = 1024 * 1024;
/** Chunks that the decoder has besides the one that it works on. */
const chunksAhead = 1;

export interface DecompressOptions {
  allowXz: boolean;
  signal: AbortSignal;
  /** Nobody else has the chunks of the source: their memory is given back as soon as they are used. Default: false. */
  discards?: boolean;
}

/**
 * The bytes of an archive file, with progress. Throws `file.not-found`, or `image.invalid` for what is no regular file.
 * Destroying the stream closes the file.
 */
export async function openArchive(path: string, progress: Progress): Promise<Readable> {
  // Without this flag, opening a named pipe waits for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw new BangerError("file.not-found", `cannot read "${path}"`, { cause: error });
  });
  const info = await file.stat().catch(async (error: unknown) => {
    await file.close();
    throw error;
  });
  if (!info.isFile()) {
    await file.close();
    throw new BangerError("image.invalid", `"${path}" is not a regular file`);
  }
  const stream = file.createReadStream({ highWaterMark: chunkBytes });
  let doneBytes = 0;
  stream.on("data", (chunk) => progress.bytes((doneBytes += chunk.length), info.size));
  stream.pause();
  return stream;
}

/**
 * The plain bytes of a stream: as it is, or through gzip, zstd or, where `allowXz` is set, xz, by what it begins with. Broken
 * compression ends it with a TarError or an error of zlib. Whoever stops reading early destroys `source`.
 */
export async function* decompress(
  source: Readable,
  { allowXz, signal, discards = false }: DecompressOptions,
): AsyncGenerator<Buffer> {
  const used = discards ? discard : () => {};
  const chunks = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const first: Buffer[] = [];
  for (let bytes = 0; bytes < 6;) {
    const next = await chunks.next();
    if (next.done === true) break;
    first.push(next.value);
    bytes += next.value.length;
  }
  const all = async function* () {
    if (first.length > 0) yield Buffer.concat(first.splice(0));
    for (let next = await chunks.next(); next.done !== true; next = await chunks.next()) yield next.value;
  };
  const magic = Buffer.concat(first).toString("hex", 0, 6);
  if (magic.startsWith("1f8b")) {
    yield* gunzip(all(), used);
  } else if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) yield* unzstd(all(), used);
  else if (magic === "fd377a585a00" && allowXz) yield* throughTool("xz", Readable.from(all()), signal);
  else yield* all();
}

async function* gunzip(source: AsyncIterable<Buffer>, used: (chunk: Buffer) => void): AsyncGenerator<Buffer> {
  const pump = new DecoderPump(createGunzip(pumpedOptions));
  try {
    for await (const chunk of source) yield* pump.write(chunk, chunksAhead, () => used(chunk));
    yield* pump.end();
  } finally {
    pump.destroy();
  }
}

function throughTool(tool: string, source: Readable, signal: AbortSignal): AsyncIterable<Buffer> {
  const output = new PassThrough({ highWaterMark: chunkBytes });
  const abandoned = new AbortController();
  const done = run({
    file: tool,
    args: ["-dc"],
    input: source,
    output,
    timeoutMs: 24 * 3_600_000,
    signal: AbortSignal.any([signal, abandoned.signal]),
  }).then(
    () => {},
    (error: unknown) => {
      const failed = error instanceof BangerError && error.code === "command.failed";
      throw failed ? new TarError(`its ${tool} compression is damaged`, { cause: error }) : error;
    },
  );
  const stream = untilDone(output, done);
  stream.once("close", () => abandoned.abort(new BangerError("cancelled", "the archive is not read any more")));
  return stream as AsyncIterable<Buffer>;
}

/** The output of a program, which ends well only when the program does: its end is held back until `done`. */
export function untilDone(output: Readable, done: Promise<void>): Readable {
  done.catch((error: unknown) => output.destroy(error as Error));
  const pieces = async function* () {
    yield* output as AsyncIterable<Buffer>;
    await done;
  };
  return Readable.from(pieces(), { objectMode: false, highWaterMark: chunkBytes });
}
