// What registries have today for the entries of a list of pinned images, and the list with what changed.
import { parseManifest, type ManifestDocument } from "../src/image/oci/manifest.ts";
import { formatPlatform } from "../src/image/oci/platform.ts";
import type { Registries } from "../src/image/oci/source.ts";
import { readBlob } from "../src/image/oci/verify.ts";
import { parseConfig } from "../src/image/oci/config.ts";
import type { PinnedImage } from "../src/image/pinned/schema.ts";
import type { ManifestSource } from "../src/lib/oci-content.ts";

/** Those that banger runs on. Others are left out of the list. */
const platforms = ["linux/amd64", "linux/arm64"];

export interface Refreshed {
  /** Sorted by name; entries whose digest is what it was are not touched. */
  images: PinnedImage[];
  /** One line each: what is new. */
  changes: string[];
  /** One line each: what could not be looked up, and stays as it is. */
  failures: string[];
}

/** Asks the registry of each entry what its tag is. `by` signs off what changed, `today` is a date such as "2026-11-21". */
export async function refreshEntries(
  entries: readonly (Omit<PinnedImage, "digest"> & { digest?: string })[],
  { registries, by, today, signal }: { registries: Registries; by: string; today: string; signal: AbortSignal },
): Promise<Refreshed> {
  const result: Refreshed = { images: [], changes: [], failures: [] };
  for (const { digest: before, ...entry } of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const unchanged = before === undefined ? [] : [{ ...entry, digest: before }];
    try {
      const { digest, ...facts } = await lookUp(entry.reference, registries, signal);
      if (digest === before) {
        result.images.push(...unchanged);
        continue;
      }
      const { name, description, reference } = entry;
      const evidence = [`registry ${registries.normalize(reference)}`];
      const signedOff = { by, on: today, digest };
      result.images.push({ name, description, reference, digest, ...facts, lookedUp: today, evidence, signedOff });
      result.changes.push(`${name} (${reference}): ${before ?? "new"} -> ${digest}`);
    } catch (error) {
      signal.throwIfAborted();
      result.images.push(...unchanged);
      result.failures.push(`${entry.name} (${entry.reference}): ${(error as Error).message}`);
    }
  }
  return result;
}

async function lookUp(
  reference: string,
  registries: Registries,
  signal: AbortSignal,
): Promise<Required<Pick<PinnedImage, "digest" | "platforms" | "downloadBytes">>> {
  await using repository = registries.open(reference, { insecure: false, signal });
  const { source } = repository;
  const raw = await source.manifest(repository.reference, { signal });
  const sizes: Record<string, number> = {};
  for (const [platform, document] of await imagesOf(source, parseManifest(raw, reference), reference, signal)) {
    if (!platforms.includes(platform) || platform in sizes) continue;
    sizes[platform] = document.layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  }
  const found = platforms.filter((platform) => platform in sizes);
  if (found.length === 0) throw new Error(`it has no image for ${platforms.join(" or ")}`);
  return { digest: raw.digest, platforms: found, downloadBytes: sizes };
}

type Image = Extract<ManifestDocument, { kind: "manifest" }>;

/** The manifests of an index, or the one that it is, by platform. */
async function imagesOf(
  source: ManifestSource,
  document: ManifestDocument,
  shown: string,
  signal: AbortSignal,
): Promise<[platform: string, Image][]> {
  if (document.kind === "manifest") {
    const config = await readBlob(source, document.config, { label: `the config of "${shown}"`, signal });
    const { platform } = parseConfig(config, document, shown);
    return [[formatPlatform(platform), document]];
  }
  const images: [string, Image][] = [];
  for (const { digest, platform } of document.entries) {
    // The variant of 64-bit ARM says nothing: there is one.
    const name = platform === undefined ? "" : `${platform.os}/${platform.architecture}`;
    if (!platforms.includes(name)) continue;
    const inner = parseManifest(await source.manifest(digest, { signal }), shown);
    if (inner.kind === "manifest") images.push([name, inner]);
  }
  return images;
}
