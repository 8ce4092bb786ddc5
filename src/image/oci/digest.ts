// Digests as images write them: algorithm and lower-case hex, of the two algorithms that are known here.
import { createHash, type Hash } from "node:crypto";

const pattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

/** True for `sha256:<64 hex>` and `sha512:<128 hex>`. */
export function isDigest(text: string): boolean {
  return pattern.test(text);
}

/** Algorithm and hex digits of a digest that `isDigest` accepts. Both are safe as names of files. */
export function splitDigest(digest: string): { algorithm: "sha256" | "sha512"; hex: string } {
  if (!isDigest(digest)) throw new Error(`not a digest: ${digest.slice(0, 100)}`);
  const [algorithm, hex] = digest.split(":") as ["sha256" | "sha512", string];
  return { algorithm, hex };
}

/** A hash of the algorithm that a digest names. */
export function hashFor(digest: string): Hash {
  return createHash(splitDigest(digest).algorithm);
}

/** The sha256 digest of bytes, or that of the algorithm that `like` names. */
export function digestOf(bytes: Uint8Array, like?: string): string {
  const { algorithm } = like === undefined ? { algorithm: "sha256" } : splitDigest(like);
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
