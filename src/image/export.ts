// Images back out, as OCI layouts with the documents and blobs that they were made of: digests stay what they were.
import { BangerError } from "../lib/errors.ts";
import type { ImageRecord } from "../api/records.ts";
import type { Readable } from "node:stream";
import { oneLayerImage } from "./export-rootfs.ts";
import type { Progress } from "../lib/progress.ts";
import type { BlobFetches } from "./oci/blob-fetch.ts";
import type { BlobStore } from "./oci/blob-store.ts";
import { digestOf } from "./oci/digest.ts";
import { fetchLayers } from "./oci/fetch-layers.ts";
import { blobFile, checkTarget, writeLayout } from "./oci/layout-writer.ts";
import { type ImageManifest, parseManifest } from "./oci/manifest.ts";
import { mediaTypes } from "./oci/media-types.ts";
import type { BlobSaver, Descriptor, RawManifest } from "../lib/oci-content.ts";
import type { Registries } from "./oci/source.ts";

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
}

/**
 * Layers that are not in the cache any more are fetched from the registry that the image came from. What has no layers anywhere becomes
 * an image of a single one, which says `original: false`.
 */
export async function exportImage(
  parts: ExportParts,
  record: ImageRecord,
  documents: { manifest: Buffer; config: Buffer } | undefined,
  request: ExportRequest,
  progress: Progress,
): Promise<{ path: string; manifest: string; bytes: number; original: boolean }> {
  await checkTarget(request.path);
  if (documents === undefined || record.digests === null) return await exportRootfs(record, request, progress);
  const bytes = documents.manifest;
  const mediaType = (JSON.parse(bytes.toString()) as { mediaType?: string }).mediaType ?? mediaTypes.ociManifest;
  const manifest = { bytes, mediaType, digest: record.digests.manifest };
  const parsed = parseManifest(manifest, record.name) as ImageManifest;
  const { signal } = progress;
  await using repository = openOrigin(record, parts, signal);
  if (repository === undefined && !(await areCached(parts.blobs, parsed.layers))) {
    return await exportRootfs(record, request, progress);
  }
  const source: BlobSaver = repository?.source ?? { save: async () => nowhere(record) };
  using fetched = fetchLayers(parsed.layers, { ...parts, source, store: parts.blobs }, progress);
  const config = { bytes: documents.config, digest: record.digests.config };
  const content = { manifest, config, layers: parsed.layers, open: (layer: Descriptor) => fetched.open(layer, signal) };
  return { ...(await writeImage(record, content, request, progress)), original: true };
}

async function exportRootfs(record: ImageRecord, request: ExportRequest, progress: Progress) {
  progress.stage("read", record.name);
  const image = await oneLayerImage(record, progress);
  const manifest = { bytes: image.manifest, digest: digestOf(image.manifest), mediaType: mediaTypes.ociManifest };
  const config = { bytes: image.config, digest: digestOf(image.config) };
  const content = { manifest, config, layers: [image.layer], open: async () => image.open() };
  progress.stage("write", record.name);
  return { ...(await writeImage(record, content, request, progress)), original: false };
}

async function areCached(blobs: BlobStore, layers: readonly Descriptor[]): Promise<boolean> {
  for (const { digest } of layers) {
    const file = await blobs.openBlob(digest);
    if (file === undefined) return false;
    await file.close();
  }
  return true;
}

interface Content {
  manifest: RawManifest;
  config: { bytes: Buffer; digest: string };
  layers: readonly Descriptor[];
  open(layer: Descriptor): Promise<Readable>;
}

async function writeImage(
  record: ImageRecord,
  { manifest, config, layers, open }: Content,
  { path, format }: ExportRequest,
  { signal, bytes }: Progress,
) {
  const all = [record.name, ...record.tags];
  const tagged = all.filter((name) => name.includes(":") && !name.includes("@"));
  const entry = { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.length };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: (tagged.length === 0 ? [record.name] : tagged).map((name) => ({
      ...entry,
      annotations: {
        "io.containerd.image.name": name,
        // A digest is no tag, and says nothing that the entry does not say.
        ...(name.includes("@") ? {} : { "org.opencontainers.image.ref.name": name.slice(name.lastIndexOf(":") + 1) }),
      },
    })),
  };
  // What "docker load" reads where docker keeps no OCI images; others do not look at it.
  const forDocker = [
    {
      Config: blobFile(config.digest),
      RepoTags: all.flatMap(dockerName),
      Layers: layers.map((layer) => blobFile(layer.digest)),
    },
  ];
  const unique = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const file = (name: string, content: Buffer) => ({ name, content, sizeBytes: content.length });
  const totalBytes = unique.reduce((sum, layer) => sum + layer.sizeBytes, 0);
  await writeLayout(
    [
      file("oci-layout", text({ imageLayoutVersion: "1.0.0" })),
      file("index.json", text(index)),
      file("manifest.json", text(forDocker)),
      file(blobFile(manifest.digest), manifest.bytes),
      file(blobFile(config.digest), config.bytes),
      ...unique.map((layer) => ({
        name: blobFile(layer.digest),
        sizeBytes: layer.sizeBytes,
        content: () => open(layer),
      })),
    ],
    {
      path,
      format: format ?? (path.endsWith(".tar") ? "tar" : "directory"),
      signal,
      onBytes: (done) => bytes(done, totalBytes),
    },
  );
  return { path, manifest: manifest.digest, bytes: totalBytes };
}

/** A tag as docker has it; nothing for a reference by digest alone. */
function dockerName(name: string): string[] {
  const [tagged = ""] = name.split("@");
  if (tagged.lastIndexOf(":") > tagged.lastIndexOf("/")) return [tagged];
  return name.includes("@") ? [] : [`${tagged}:latest`];
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
