// From a root file system archive, or from the layers of an image, to an ext4 file, in one pass. The work is done in a
// thread of its own.
import type { Readable } from "node:stream";
import type { Progress } from "../lib/progress.ts";
import type { BlobFile } from "./layer/blob-file.ts";
import type { Rootfs } from "./layer/build.ts";
import { buildInThread } from "./layer/builder-thread.ts";
import { defaultLimits, limitsOf } from "./layer/limits.ts";
import type { RootfsLimits } from "./layer/limits.ts";
import { checkLayerType } from "./layer/media-type.ts";

export { defaultLimits, limitsOf };
export type { Rootfs, RootfsLimits };

/** One layer of an image, as its manifest and config describe it. */
export interface ImageLayer {
  /** Digest of the plain tar from the config ("sha256:..." or "sha512:..."); checked when it is given. */
  diffId: string | undefined;
  mediaType: string;
  /** Stands in errors: the blob's digest, or its number. */
  label: string;
  /** Bytes of the compressed blob, for progress. */
  sizeBytes?: number;
  /** A file with the compressed blob; it is read by the thread that needs it, and `open` is not called. */
  path?: string;
  /** The compressed bytes. Called when the layers below are applied; the reader destroys or disposes what it gets. */
  open(signal: AbortSignal): Promise<Readable | BlobFile>;
}

/**
 * Writes the ext4 file `target`, which must not exist, from layers, the lowest first. Whiteouts and opaque directories are
 * applied as the OCI image specification says. The file is on the disk when this returns; the caller removes it when it
 * throws. `image.invalid` names the layer, the entry and the reason; `disk.full` comes before the disk is full. What a
 * layer's `open` or stream throws is passed on as it is.
 */
export async function rootfsFromLayers(
  layers: readonly ImageLayer[],
  target: string,
  progress: Progress,
  limits: RootfsLimits = defaultLimits,
): Promise<Rootfs> {
  for (const { mediaType, label } of layers) checkLayerType(mediaType, label);
  const sources = layers.map((layer) => {
    const { label, diffId, path } = layer;
    if (path !== undefined) return { label, diffId, path };
    const { sizeBytes } = layer;
    const open = (signal: AbortSignal) => layer.open(signal);
    return { label, diffId, open, ...(sizeBytes === undefined ? {} : { sizeBytes }) };
  });
  // What is compressed gets larger, so an image for which there is no room is refused before a layer is fetched.
  const leastBytes = layers.reduce((sum, { sizeBytes = 0 }) => sum + sizeBytes, 0);
  return await buildInThread({ layers: sources, target, kind: "layers", leastBytes, limits }, progress);
}

/**
 * Writes the ext4 file `target`, which must not exist, from an archive file (plain, gzip, zstd, xz) or a stream of it.
 * Everything in the archive is taken as it is. The file is on the disk when this returns; the caller removes it when it
 * throws. `image.invalid` says what is wrong with the archive.
 */
export async function rootfsFromTar(
  source: string | Readable,
  target: string,
  progress: Progress,
  limits: RootfsLimits = defaultLimits,
): Promise<Rootfs> {
  const layer =
    typeof source === "string"
      ? { label: source, diffId: undefined, path: source }
      : { label: "the archive", diffId: undefined, open: async () => source };
  // Whoever reads the stream gets its error; without a reader there is nobody to tell.
  if (typeof source !== "string") source.on("error", () => {});
  try {
    return await buildInThread({ layers: [layer], target, kind: "archive", limits }, progress);
  } finally {
    if (typeof source !== "string") source.destroy();
  }
}

/** The same of a directory tree of this machine, with all that tar can read of it, on its one file system. */
export async function rootfsFromDirectory(
  directory: string,
  target: string,
  progress: Progress,
  limits: RootfsLimits = defaultLimits,
): Promise<Rootfs> {
  const layer = { label: directory, diffId: undefined, directory };
  return await buildInThread({ layers: [layer], target, kind: "archive", limits }, progress);
}
