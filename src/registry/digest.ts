// Digests as registries write them: algorithm and hex digits, of the two algorithms that images use.
import { createHash } from "node:crypto";

const pattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True for `sha256:<64 hex>` and `sha512:<128 hex>`, lower case. */
export function isDigest(text: string): boolean {
  return pattern.test(text);
}

/** Digest of bytes with the algorithm of `like` ("sha256:…" or "sha512:…"). */
export function digestOf(bytes: Uint8Array, like = "sha256:"): string {
  const algorithm = like.startsWith("sha512:") ? "sha512" : "sha256";
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
