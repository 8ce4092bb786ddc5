// Manifests and indexes as bytes: fetched whole, bounded, compared with the digest that was asked for, and of one clear kind.
import { BangerError } from "../lib/errors.ts";
import { digestOf, isDigest } from "./digest.ts";
import { plainWords } from "./failure.ts";
import { readBody, type HttpAnswer } from "./http.ts";
import type { RegistryLimits } from "./limits.ts";
import type { RawManifest } from "../lib/oci-content.ts";

/** Most bytes of a manifest or an index. */
export const mostManifestBytes = 4 * 1024 * 1024;

const indexTypes = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
const manifestTypes = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

/** Without all of them a registry may convert the manifest into an older kind, with another digest. */
export const manifestAccept = [...manifestTypes, ...indexTypes].join(", ");

/** Types that servers give when they do not know what they have. */
const vagueTypes = new Set(["", "application/json", "application/octet-stream", "text/plain", "binary/octet-stream"]);

/**
 * Reads an answer. `reference` is the tag or digest that was asked for, `what` names it in errors. The digest of the result is
 * that of the bytes. Errors: `image.invalid`, or those of connections.
 */
export async function readManifest(
  answer: HttpAnswer,
  reference: string,
  what: string,
  limits: RegistryLimits,
  signal: AbortSignal,
): Promise<RawManifest> {
  const bytes = await readBody(answer, mostManifestBytes, limits, signal);
  const digest = isDigest(reference) ? digestOf(bytes, reference) : digestOf(bytes);
  if (isDigest(reference) && digest !== reference) {
    throw new BangerError("image.invalid", `"${answer.url.host}" gives something else than ${what}: it has ${digest}`);
  }
  return { bytes, digest, mediaType: mediaTypeOf(bytes, answer.headers["content-type"], what) };
}

/**
 * The type on which header and content agree. Two readers that understand one document differently are how one image is made
 * to look like another: what is of two kinds is refused with `image.invalid`.
 */
export function mediaTypeOf(bytes: Buffer, header: string | undefined, what: string): string {
  const refuse = (why: string) => new BangerError("image.invalid", `${what} has no sound manifest: ${why}`);
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw refuse(`it is not JSON (${plainWords(error instanceof Error ? error.message : "", 100)})`);
  }
  if (typeof document !== "object" || document === null || Array.isArray(document)) throw refuse("it is not an object");
  const { mediaType, manifests, layers, schemaVersion } = document as Record<string, unknown>;
  if (schemaVersion === 1) throw refuse("it is of the old schema 1, which has no digests of its parts; push it again");
  if (manifests !== undefined && layers !== undefined) throw refuse("it is both an index and a manifest");
  const said = (header ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (mediaType !== undefined && typeof mediaType !== "string") throw refuse("its mediaType is no text");
  if (mediaType !== undefined && !vagueTypes.has(said) && mediaType !== said) {
    throw refuse(`it says "${plainWords(mediaType, 100)}", its header "${plainWords(said, 100)}"`);
  }
  const guessed = manifests === undefined ? manifestTypes[0] : indexTypes[0];
  const type = mediaType ?? (vagueTypes.has(said) ? (guessed ?? "") : said);
  const expected = manifests === undefined ? manifestTypes : indexTypes;
  if (![...manifestTypes, ...indexTypes].includes(type)) throw refuse(`its type is "${plainWords(type, 100)}"`);
  if (!expected.includes(type)) throw refuse(`its content does not fit its type "${type}"`);
  return type;
}
