// Reads a whole file, to unpack it or for its digest.
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Progress } from "../../lib/progress.ts";
import { requireSpace, spaceGuard } from "../layer/space.ts";
import { invalid } from "../oci/manifest.ts";
import { decompress, openArchive } from "../tar/decompress.ts";
import { TarError } from "../tar/header.ts";
import type { DecompressJob, DigestJob } from "./jobs.ts";

const pieceBytes = 1024 * 1024;

/** Throws `image.invalid` for what is larger or damaged, `disk.full`; the caller removes the target then. */
export async function decompressFile(
  { path, target, maxBytes }: Omit<DecompressJob, "do">,
  progress: Progress,
): Promise<undefined> {
  let bytes = 0;
  requireSpace(dirname(target), 0);
  const guard = spaceGuard(dirname(target));
  const bounded = new Transform({
    highWaterMark: pieceBytes,
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      try {
        if (bytes > maxBytes) throw invalid(`"${path}" is larger than ${maxBytes} bytes when it is decompressed`);
        guard(chunk.length);
        done(null, chunk);
      } catch (error) {
        done(error as Error);
      }
    },
  });
  const { signal } = progress;
  const archive = await openArchive(path, progress);
  archive.on("error", () => {});
  try {
    const plain = decompress(archive, { allowXz: true, signal });
    await pipeline(plain, bounded, createWriteStream(target, { flags: "wx", mode: 0o600 }), { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TarError || (error as NodeJS.ErrnoException).code?.startsWith("Z_") === true) {
      throw invalid(`"${path}" is damaged: its compression is broken`, error);
    }
    throw error;
  } finally {
    archive.destroy();
  }
}

/** sha256 in hex. */
export async function digestOfFile({ path }: Omit<DigestJob, "do">, { signal, bytes }: Progress): Promise<string> {
  const { size } = await stat(path);
  const hash = createHash("sha256");
  let done = 0;
  for await (const piece of createReadStream(path, { highWaterMark: pieceBytes, signal })) {
    hash.update(piece as Buffer);
    done += (piece as Buffer).length;
    bytes(done, size);
  }
  return hash.digest("hex");
}
