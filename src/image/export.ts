// Images back out, as OCI layouts with the documents and blobs that they were made of: digests stay what they were.
import { BangerError } from "../lib/errors.ts";
import type { ImageRecord } from "../api/records.ts";
import type { Progress } from "../lib/progress.ts";
import type { BlobFetches } from "./oci/blob-fetch.ts";
import type { BlobStore } from "./oci/blob-store.ts";
import { digestOf } from "./oci/digest.ts";
import { fetchLayers } from "./oci/fetch-layers.ts";
import { blobFile, writeLayout } from "./oci/layout-writer.ts";
import { type ImageManifest, parseManifest } from "./oci/manifest.ts";
import { mediaTypes } from "./oci/media-types.ts";
import type { BlobSource } from "../lib/oci-content.ts";
import type { Registries } from "./oci/source.ts";

export interface ExportRequest {
  path: string;
  format?: "directory" | "tar" | undefined;
}

export interface ExportParts {
  registries: Registries | undefined;
  blobs: BlobStore;
  fetches: BlobFetches;
}

/**
 * Layers that are not in the cache any more are fetched from where the image came from. Throws `image.invalid` for one that never had
 * layers, or whose layers are nowhere.
 */
export async function exportImage(
  { registries, blobs, fetches }: ExportParts,
  record: ImageRecord,
  documents: { manifest: Buffer; config: Buffer } | undefined,
  request: ExportRequest,
  progress: Progress,
): Promise<{ path: string; manifest: string; bytes: number; original: boolean }> {
  if (documents === undefined || record.digests === null) {
    throw new BangerError(
      "image.invalid",
      `image "${record.name}" was made of a file system: it has no layers to export`,
      {
        hint: `ls -l ${record.rootfsPath}  # its ext4 file`,
      },
    );
  }
  const { manifest: bytes, config } = documents;
  const mediaType = (JSON.parse(bytes.toString()) as { mediaType?: string }).mediaType ?? mediaTypes.ociManifest;
  const parsed = parseManifest({ bytes, mediaType, digest: record.digests.manifest }, record.name) as ImageManifest;
  const { signal } = progress;
  await using repository = openOrigin(record, registries, signal);
  const source: BlobSource = repository?.source ?? { open: async () => nowhere(record) };
  using layers = fetchLayers(parsed.layers, { source, store: blobs, fetches }, progress);
  const unique = [...new Map(parsed.layers.map((layer) => [layer.digest, layer])).values()];
  const names = [record.name, ...record.tags].filter((name) => name.includes(":"));
  const entry = { mediaType, digest: record.digests.manifest, size: bytes.length };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: (names.length === 0 ? [record.name] : names).map((name) => ({
      ...entry,
      annotations: {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1),
      },
    })),
  };
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const file = (name: string, content: Buffer) => ({ name, content, sizeBytes: content.length });
  const totalBytes = unique.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  const format = request.format ?? (request.path.endsWith(".tar") ? "tar" : "directory");
  await writeLayout(
    [
      file("oci-layout", text({ imageLayoutVersion: "1.0.0" })),
      file("index.json", text(index)),
      file(blobFile(record.digests.manifest), bytes),
      file(blobFile(digestOf(config, record.digests.config)), config),
      ...unique.map((layer) => ({
        name: blobFile(layer.digest),
        sizeBytes: layer.sizeBytes,
        content: () => layers.open(layer, signal),
      })),
    ],
    { path: request.path, format, signal, onBytes: (done) => progress.bytes(done, totalBytes) },
  );
  return { path: request.path, manifest: record.digests.manifest, bytes: totalBytes, original: true };
}

function openOrigin(record: ImageRecord, registries: Registries | undefined, signal: AbortSignal) {
  if (registries === undefined || !record.source.startsWith("registry:")) return undefined;
  return registries.open(record.source.slice("registry:".length), { insecure: false, signal });
}

function nowhere(record: ImageRecord): never {
  throw new BangerError(
    "image.invalid",
    `the layers of image "${record.name}" (${record.source}) are not in the cache, and no registry is known that has them`,
  );
}
