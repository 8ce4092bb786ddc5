// Reads blobs with their size and digest checked while they stream: nothing is believed before the last byte.
import { Readable } from "node:stream";
import { hashFor } from "./digest.ts";
import { invalid } from "./manifest.ts";
import type { BlobSource, Descriptor } from "../../lib/oci-content.ts";

/**
 * Passes on a blob's content and fails at the end, or as soon as it is too long, when it is not what the descriptor says:
 * `image.invalid`. `label` names the blob in the error. Destroying the result destroys `content`.
 */
export function verified(content: Readable, descriptor: Descriptor, label: string): Readable {
  // An error before the first read is told by that read.
  content.on("error", () => {});
  const stream = Readable.from(checked(content, descriptor, label), { objectMode: false, highWaterMark: 1024 * 1024 });
  // A generator that was never asked has nothing to clean up with.
  return stream.once("close", () => content.destroy());
}

/** The same for chunks. */
export async function* checked(
  content: AsyncIterable<Buffer>,
  { digest, sizeBytes }: Descriptor,
  label: string,
): AsyncGenerator<Buffer> {
  const hash = hashFor(digest);
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.length;
    if (bytes > sizeBytes) throw invalid(`${label} is longer than the ${sizeBytes} bytes that it should have`);
    hash.update(chunk);
    yield chunk;
  }
  if (bytes < sizeBytes) throw invalid(`${label} is cut short: it has ${bytes} of ${sizeBytes} bytes`);
  if (!digest.endsWith(`:${hash.digest("hex")}`)) {
    throw invalid(`${label} is damaged: it has not the digest ${digest}`);
  }
}

/** A whole small blob, checked. The caller has bounded `sizeBytes`. */
export async function readBlob(
  source: BlobSource,
  descriptor: Descriptor,
  options: { label: string; signal: AbortSignal },
): Promise<Buffer> {
  const content = verified(await source.open(descriptor, { signal: options.signal }), descriptor, options.label);
  const pieces: Buffer[] = [];
  for await (const piece of content as AsyncIterable<Buffer>) pieces.push(piece);
  return Buffer.concat(pieces);
}
