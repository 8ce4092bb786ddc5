// Opens an archive file as a stream of plain tar bytes: as it is, or through gzip, zstd or xz by what it begins with.
import { createReadStream } from "node:fs";
import { constants, open } from "node:fs/promises";
import { PassThrough, Readable, Transform, pipeline } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { BangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { findTool, run } from "../../lib/run.ts";
import { TarError } from "./header.ts";

const chunkBytes = 1024 * 1024;

/** A stream of tar bytes. Broken compression ends it with a TarError. Destroying it closes the file and ends the tool. */
export async function openArchive(path: string, progress: Progress): Promise<Readable> {
  const head = Buffer.alloc(6);
  // Without this flag, opening a named pipe waits for its writer.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw new BangerError("file.not-found", `cannot read "${path}"`, { cause: error });
  });
  let totalBytes: number;
  try {
    const info = await file.stat();
    if (!info.isFile()) throw new BangerError("image.invalid", `"${path}" is not a regular file`);
    totalBytes = info.size;
    await file.read(head, 0, head.length, 0);
  } finally {
    await file.close();
  }
  let doneBytes = 0;
  const counted = new Transform({
    highWaterMark: chunkBytes,
    transform(chunk: Buffer, _encoding, done) {
      doneBytes += chunk.length;
      progress.bytes(doneBytes, totalBytes);
      done(null, chunk);
    },
  });
  // Errors reach the reader through the last stream of the pipeline.
  const source = pipeline(createReadStream(path, { highWaterMark: chunkBytes }), counted, () => {});
  const magic = head.toString("hex");
  const options = { chunkSize: chunkBytes };
  if (magic.startsWith("1f8b")) return pipeline(source, createGunzip(options), () => {});
  if (magic.startsWith("28b52ffd") || /^5.2a4d18/.test(magic)) {
    // The decoder of Node stops after the first frame of several; the tool does not.
    if (findTool("zstd") === undefined) return pipeline(source, createZstdDecompress(options), () => {});
    return throughTool("zstd", source, progress.signal);
  }
  return magic === "fd377a585a00" ? throughTool("xz", source, progress.signal) : source;
}

function throughTool(tool: string, source: Readable, signal: AbortSignal): Readable {
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
  return stream;
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
