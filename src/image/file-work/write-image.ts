// An image as an OCI image layout: of the documents and layers that it was made of, or of one layer that is made of its file.
import { Readable } from "node:stream";
import { readSync } from "node:fs";
import { dirname } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import type { Descriptor } from "../../lib/oci-content.ts";
import type { Progress } from "../../lib/progress.ts";
import { requireSpace } from "../layer/space.ts";
import { oneLayerImage } from "../export-rootfs.ts";
import { digestOf } from "../oci/digest.ts";
import { blobFile, writeLayout } from "../oci/layout-writer.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { checked } from "../oci/verify.ts";
import type { ExportJob, ExportResult, LayerFile, OriginalImage } from "./jobs.ts";

interface Content extends Pick<OriginalImage, "manifest" | "config"> {
  layers: readonly { layer: Descriptor; open: () => Readable }[];
}

const pieceBytes = 1024 * 1024;

/**
 * `onDamaged` is told of a layer that is not what it should be, before `image.invalid` is thrown. Throws `disk.full` before a byte is
 * written when there is no room for all.
 */
export async function writeImage(
  job: Omit<ExportJob, "do">,
  progress: Progress,
  onDamaged: (digest: string) => void,
): Promise<ExportResult> {
  const { record, names, original } = job;
  const name = names[0] ?? record.name;
  if (original !== undefined) {
    const layers = original.layers.map((file) => ({
      layer: file.layer,
      open: () => Readable.from(read(file, onDamaged), { highWaterMark: 1 }),
    }));
    progress.stage("write", name);
    return { ...(await write(job, { ...original, layers }, progress)), original: true };
  }
  progress.stage("read", name);
  const image = await oneLayerImage(record, progress);
  const content = {
    manifest: { bytes: image.manifest, digest: digestOf(image.manifest), mediaType: mediaTypes.ociManifest },
    config: { bytes: image.config, digest: digestOf(image.config) },
    layers: [{ layer: image.layer, open: () => image.open() }],
  };
  progress.stage("write", name);
  return { ...(await write(job, content, progress)), original: false };
}

async function write(
  { path, staging, format, names }: Pick<ExportJob, "path" | "staging" | "format" | "names">,
  { manifest, config, layers }: Content,
  { signal, bytes }: Progress,
) {
  const tagged = names.filter((name) => name.includes(":") && !name.includes("@"));
  const entry = { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.bytes.length };
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: (tagged.length === 0 ? names.slice(0, 1) : tagged).map((name) => ({
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
      RepoTags: names.flatMap(dockerName),
      Layers: layers.map(({ layer }) => blobFile(layer.digest)),
    },
  ];
  const unique = [...new Map(layers.map((one) => [one.layer.digest, one])).values()];
  const text = (value: unknown) => Buffer.from(JSON.stringify(value));
  const file = (name: string, content: Uint8Array) => ({
    name,
    content: Buffer.from(content),
    sizeBytes: content.length,
  });
  const totalBytes = unique.reduce((sum, { layer }) => sum + layer.sizeBytes, 0);
  requireSpace(dirname(path), totalBytes);
  await writeLayout(
    [
      file("oci-layout", text({ imageLayoutVersion: "1.0.0" })),
      file("index.json", text(index)),
      file("manifest.json", text(forDocker)),
      file(blobFile(manifest.digest), manifest.bytes),
      file(blobFile(config.digest), config.bytes),
      ...unique.map(({ layer, open }) => ({
        name: blobFile(layer.digest),
        sizeBytes: layer.sizeBytes,
        content: async () => open(),
      })),
    ],
    { path, staging, format, signal, onBytes: (done) => bytes(done, totalBytes) },
  );
  return { path, manifest: manifest.digest, bytes: totalBytes };
}

/** A tag as docker has it; nothing for a reference by digest alone. */
function dockerName(name: string): string[] {
  const [tagged = ""] = name.split("@");
  if (tagged.lastIndexOf(":") > tagged.lastIndexOf("/")) return [tagged];
  return name.includes("@") ? [] : [`${tagged}:latest`];
}

async function* read(file: LayerFile, onDamaged: (digest: string) => void): AsyncGenerator<Buffer> {
  const { check, layer, label } = file;
  try {
    if (check === undefined) yield* pieces(file);
    else yield* checked(pieces(file), check, label);
  } catch (error) {
    if (error instanceof BangerError && error.code === "image.invalid") onDamaged(layer.digest);
    throw error;
  }
}

async function* pieces({ fd, offset, layer, check }: LayerFile): AsyncGenerator<Buffer> {
  // One byte more than it should have, so that a longer one is seen.
  const end = layer.sizeBytes + (check === undefined ? 0 : 1);
  for (let at = 0; at < end;) {
    const piece = Buffer.allocUnsafeSlow(Math.min(pieceBytes, end - at));
    const length = readSync(fd, piece, 0, piece.length, offset + at);
    if (length === 0) return;
    at += length;
    yield piece.subarray(0, length);
  }
}
