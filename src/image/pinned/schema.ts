// What a list of pinned images says of each: a reference, the digest it stands for, where that was seen, and who signed it off.
import * as v from "valibot";
import { BangerError } from "../../lib/errors.ts";
import { isDigest } from "../oci/digest.ts";

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(300));
const digest = v.pipe(v.string(), v.check(isDigest, "a digest: sha256: and 64 lower-case hex digits"));
const day = v.pipe(v.string(), v.isoDate("a date such as 2026-11-21"));
const platform = v.pipe(v.string(), v.regex(/^linux\/[a-z0-9]+$/, "a platform such as linux/amd64"));

export const pinnedImage = v.pipe(
  v.strictObject({
    /** What users write. It has a hyphen, so that it is never the short name of something on Docker Hub's first level by chance. */
    name: v.pipe(
      v.string(),
      v.regex(/^[a-z0-9]+(?:[.-][a-z0-9]+)*$/, 'a-z, 0-9 and single "." or "-"'),
      v.maxLength(63),
      v.includes("-", 'a name with a "-"'),
    ),
    description: text,
    /** With a tag, which is where new digests come from; without a digest. */
    reference: v.pipe(text, v.regex(/^[^@]+:[^@/]+$/, "a reference with a tag and without a digest")),
    /** Of the index of all platforms, or of the manifest when there is only one. */
    digest,
    /** Those that banger runs on; absent: not known. */
    platforms: v.exactOptional(v.array(platform)),
    /** Of compressed layers, by platform. */
    downloadBytes: v.exactOptional(v.record(platform, v.pipe(v.number(), v.safeInteger(), v.minValue(1)))),
    lookedUp: v.exactOptional(day),
    /** Where reference and digest were seen together. */
    evidence: v.exactOptional(v.array(text)),
    /** A sign-off is for one digest, which it repeats: what is changed without one does not pass. */
    signedOff: v.exactOptional(v.strictObject({ by: text, on: day, digest })),
  }),
  v.check(
    ({ digest: pinned, signedOff }) => signedOff === undefined || signedOff.digest === pinned,
    "the sign-off is for another digest",
  ),
);
export type PinnedImage = v.InferOutput<typeof pinnedImage>;

const pinnedImages = v.strictObject({
  version: v.literal(1),
  images: v.pipe(
    v.array(pinnedImage),
    v.maxLength(1000),
    v.check((images) => new Set(images.map(({ name }) => name)).size === images.length, "each name once"),
  ),
});

/** Throws `config.invalid` with `file` and what is wrong in it. */
export function parsePinnedImages(json: string, file: string): readonly PinnedImage[] {
  const refuse = (why: string) =>
    new BangerError("config.invalid", `the image catalog "${file}" is not valid: ${why}`, { hint: `$EDITOR ${file}` });
  let document: unknown;
  try {
    document = JSON.parse(json);
  } catch (error) {
    throw refuse((error as Error).message);
  }
  const checked = v.safeParse(pinnedImages, document);
  if (checked.success) return checked.output.images;
  const [issue] = checked.issues;
  throw refuse(`${v.getDotPath(issue) ?? "it"}: ${issue.message}`);
}
