// Images back out, as OCI layouts with the documents and blobs that they were made of: digests stay what they were.
import { BangerError } from "../lib/errors.ts";
import type { ImageRecord } from "../api/records.ts";
import type { Progress } from "../lib/progress.ts";
import type { ExportResult, OriginalImage } from "./file-work/jobs.ts";
import { inThread } from "./file-work/thread.ts";
import type { BlobFetches } from "./oci/blob-fetch.ts";
import type { BlobStore } from "./oci/blob-store.ts";
import { digestOf } from "./oci/digest.ts";
import { fetchLayers } from "./oci/fetch-layers.ts";
import { checkTarget } from "./oci/layout-writer.ts";
import { type ImageManifest, layerLabel, parseManifest } from "./oci/manifest.ts";
import { mediaTypes } from "./oci/media-types.ts";
import type { BlobSaver, Descriptor } from "../lib/oci-content.ts";
import type { Registries } from "./oci/source.ts";
import type { UnfinishedExports } from "./unfinished-exports.ts";

export interface ExportRequest {
  path: string;
  format?: "directory" | "tar" | undefined;
}

export interface ExportParts {
  registries: Registries | undefined;
  blobs: BlobStore;
  fetches: BlobFetches;
  /** Whether a reference was pulled with plain HTTP and any certificate allowed. */
  isInsecure: (reference: string) => boolean;
  exports: UnfinishedExports;
}

/**
 * Layers that are not in the cache any more are fetched from the registry that the image came from. What has no layers anywhere becomes
 * an image of a single one, which says `original: false`. `names` is what the image is called in the layout.
 */
export async function exportImage(
  parts: ExportParts,
  record: ImageRecord,
  documents: { manifest: Buffer; config: Buffer } | undefined,
  request: ExportRequest & { names: readonly string[] },
  progress: Progress,
): Promise<ExportResult> {
  const { path, names, format = path.endsWith(".tar") ? "tar" : "directory" } = request;
  await checkTarget(path);
  const write = async (original: OriginalImage | undefined, onDamaged?: (digest: string) => void) => {
    await using unfinished = await parts.exports.begin(path);
    const { staging } = unfinished;
    return await inThread({ do: "export", path, staging, format, names, record, original }, progress, onDamaged);
  };
  if (documents === undefined || record.digests === null) return await write(undefined);
  const bytes = documents.manifest;
  const mediaType = (JSON.parse(bytes.toString()) as { mediaType?: string }).mediaType ?? mediaTypes.ociManifest;
  const manifest = { bytes, mediaType, digest: digestOf(bytes, record.digests.manifest) };
  const { layers } = parseManifest(manifest, record.name) as ImageManifest;
  await using repository = openOrigin(record, parts, progress.signal);
  if (repository === undefined && !(await areCached(parts.blobs, layers))) return await write(undefined);
  const source: BlobSaver = repository?.source ?? { save: async () => nowhere(record) };
  using fetched = fetchLayers(layers, { ...parts, source, store: parts.blobs }, progress);
  await fetched.done;
  const opened = await Promise.all(
    layers.map(async (layer, index) => ({ layer, label: layerLabel(layers, index), file: await fetched.file(layer) })),
  );
  const files = opened.map(({ file: { fd, offset, check }, ...rest }) => ({ ...rest, fd, offset, check }));
  const config = { bytes: documents.config, digest: digestOf(documents.config, record.digests.config) };
  return await write({ manifest, config, layers: files }, (digest) =>
    opened.find(({ layer }) => layer.digest === digest)?.file.damaged(),
  );
}

async function areCached(blobs: BlobStore, layers: readonly Descriptor[]): Promise<boolean> {
  for (const { digest } of layers) {
    const file = await blobs.openBlob(digest);
    if (file === undefined) return false;
    await file.close();
  }
  return true;
}

function openOrigin(record: ImageRecord, { registries, isInsecure }: ExportParts, signal: AbortSignal) {
  if (registries === undefined || !record.source.startsWith("registry:")) return undefined;
  const reference = record.source.slice("registry:".length);
  return registries.open(reference, { insecure: isInsecure(reference), signal });
}

function nowhere(record: ImageRecord): never {
  throw new BangerError(
    "image.invalid",
    `the layers of image "${record.name}" (${record.source}) went from the cache while they were read`,
  );
}
