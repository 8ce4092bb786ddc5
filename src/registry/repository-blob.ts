// The request for one blob of a repository.
import type { Readable } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import type { Descriptor } from "../lib/oci-content.ts";
import { openBlob } from "./blob.ts";
import { isDigest } from "./digest.ts";
import { plainWords } from "./failure.ts";
import type { ImageReference } from "./reference.ts";
import type { Session } from "./session.ts";

/** Content of a blob from `offset` on; errors are those of a repository's methods. */
export async function openFrom(
  session: Session,
  { registry, repository }: Pick<ImageReference, "registry" | "repository">,
  { digest, sizeBytes }: Descriptor,
  offset: number,
  signal: AbortSignal,
): Promise<Readable> {
  const what = `blob ${plainWords(digest, 150)} of "${registry}/${repository}"`;
  if (!isDigest(digest)) throw new BangerError("image.invalid", `${what} has a digest of an unknown kind`);
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || !Number.isSafeInteger(offset) || offset < 0) {
    throw new BangerError("image.invalid", `${what} cannot have ${sizeBytes} bytes from ${offset} on`);
  }
  const path = `${repository}/blobs/${digest}`;
  return openBlob({
    sizeBytes,
    offset,
    what,
    ask: (headers, askSignal) => session.get({ path, headers, what, expected: [200, 206, 416], signal: askSignal }),
    limits: session.limits,
    signal,
  });
}
