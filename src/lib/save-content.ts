// Writes the content of a blob into a file while it arrives, and makes the digest of the whole. Runs where it may take time:
// it writes synchronously.
import { createHash } from "node:crypto";
import { readSync, writeSync } from "node:fs";
import type { Readable } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { discardAlone } from "./discard.ts";
import { BangerError } from "./errors.ts";
import type { Descriptor, SaveRequest } from "./oci-content.ts";

const pieceBytes = 1024 * 1024;

/** `onGrowth`: for whoever does not look at the count by itself. */
type SavedContent = Omit<SaveRequest, "onGrowth"> & Partial<Pick<SaveRequest, "onGrowth">>;

/** `BlobSaver.save` with a stream that `open` gives, from byte `offset` on. Its chunks are emptied. */
export async function saveContent(
  open: (offset: number) => Promise<Readable>,
  { digest, sizeBytes }: Descriptor,
  { fd, haveBytes, label, count, onGrowth, signal }: SavedContent,
): Promise<string> {
  const hash = createHash(digest.slice(0, digest.indexOf(":")));
  const wrong = (why: string) => new BangerError("image.invalid", `${label} ${why}`);
  const piece = Buffer.allocUnsafe(Math.min(pieceBytes, haveBytes));
  for (let at = 0; at < haveBytes;) {
    const length = readSync(fd, piece, 0, Math.min(piece.length, haveBytes - at), at);
    if (length === 0) throw wrong("went away while it was read");
    hash.update(piece.subarray(0, length));
    at += length;
    await turn();
    signal.throwIfAborted();
  }
  let bytes = haveBytes;
  if (bytes < sizeBytes || sizeBytes === 0) {
    const content = await open(bytes);
    content.on("error", () => {});
    try {
      for await (const chunk of content as AsyncIterable<Buffer>) {
        signal.throwIfAborted();
        if (bytes + chunk.length > sizeBytes) {
          throw wrong(`is longer than the ${sizeBytes} bytes that it should have`);
        }
        hash.update(chunk);
        writeAll(fd, chunk, bytes);
        bytes += chunk.length;
        discardAlone(chunk);
        count.value = bytes;
        onGrowth?.();
      }
    } finally {
      content.destroy();
    }
    signal.throwIfAborted();
  }
  if (bytes < sizeBytes) throw wrong(`is cut short: it has ${bytes} of ${sizeBytes} bytes`);
  return hash.digest("hex");
}

function writeAll(fd: number, data: Buffer, position: number): void {
  for (let done = 0; done < data.length;) done += writeSync(fd, data, done, data.length - done, position + done);
}
