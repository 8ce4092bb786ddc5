// From a reference to one image: index, manifest and config, each checked before the next is asked for.
import { type ImageConfig, parseConfig } from "./config.ts";
import { type ImageManifest, invalid, type Platform, parseManifest, printable } from "./manifest.ts";
import { choose, fitness, formatPlatform, hostPlatform } from "./platform.ts";
import type { ManifestSource, RawManifest } from "../../lib/oci-content.ts";
import { readBlob } from "./verify.ts";

export interface ResolvedImage {
  /** The manifest of one platform. */
  raw: RawManifest;
  manifest: ImageManifest;
  configBytes: Buffer;
  config: ImageConfig;
  /** Digest of what the reference itself names: an index, or the manifest. */
  digest: string;
}

export interface ResolveOptions {
  /** Default: this host's. */
  platform?: Platform | undefined;
  /** Names the image in errors. */
  shown: string;
  /** The command that can be repeated with another platform, for hints. */
  again?: string;
  signal: AbortSignal;
}

/** An index may name an index, which names manifests: more is a loop, or no image. */
const deepest = 2;

/** Throws `image.not-found` when there is no such image or none for the platform, `image.invalid` when one is broken. */
export async function resolveImage(
  source: ManifestSource,
  reference: string,
  { platform, shown, signal, again }: ResolveOptions,
): Promise<ResolvedImage> {
  const wanted = platform ?? hostPlatform();
  let raw = await source.manifest(reference, { signal });
  const { digest } = raw;
  let document = parseManifest(raw, shown);
  for (let depth = 0; document.kind === "index"; depth++) {
    if (depth === deepest) throw invalid(`"${shown}" is an index of indexes of indexes: no image is that deep`);
    const entry = choose(document.entries, wanted, shown, again);
    raw = await source.manifest(entry.digest, { signal });
    if (raw.digest !== entry.digest || raw.bytes.length !== entry.sizeBytes) {
      throw invalid(
        `the index of "${shown}" names ${entry.digest} with ${entry.sizeBytes} bytes, and something else came`,
      );
    }
    if (raw.mediaType !== entry.mediaType) {
      throw invalid(
        `the index of "${shown}" contradicts its manifest: "${printable(entry.mediaType)}" and "${printable(raw.mediaType)}"`,
      );
    }
    document = parseManifest(raw, shown);
  }
  const manifest: ImageManifest = { config: document.config, layers: document.layers };
  const configBytes = await readBlob(source, manifest.config, { label: `the config of "${shown}"`, signal });
  const config = parseConfig(configBytes, manifest, shown);
  if (fitness(config.platform, wanted) === 0) {
    throw invalid(
      `"${shown}" is an image for ${printable(formatPlatform(config.platform))}, and ${formatPlatform(wanted)} is wanted; choose with --platform`,
    );
  }
  return { raw, manifest, configBytes, config, digest };
}
