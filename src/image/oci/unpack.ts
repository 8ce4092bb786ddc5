// From a resolved image to its root file system: every layer is read once.
import type { BlobFile } from "../layer/blob-file.ts";
import type { Progress } from "../../lib/progress.ts";
import { type Rootfs, rootfsFromLayers, type RootfsLimits } from "../rootfs.ts";
import { layerLabel } from "./manifest.ts";
import type { ResolvedImage } from "./resolve-image.ts";
import type { Descriptor } from "../../lib/oci-content.ts";

/** The file that a layer is in, or arrives in. Whoever reads it disposes it. */
export type OpenLayer = (layer: Descriptor, signal: AbortSignal) => Promise<BlobFile>;

/** Writes the ext4 file `target`, which must not exist; the caller removes it when this throws. */
export async function unpackImage(
  image: ResolvedImage,
  open: OpenLayer,
  target: string,
  progress: Progress,
  limits?: RootfsLimits,
): Promise<Rootfs> {
  const { layers } = image.manifest;
  const opened = layers.map((layer, index) => {
    const label = layerLabel(layers, index);
    return {
      diffId: image.config.diffIds[index],
      mediaType: layer.mediaType,
      label,
      sizeBytes: layer.sizeBytes,
      open: (signal: AbortSignal) => open(layer, signal),
    };
  });
  return rootfsFromLayers(opened, target, progress, limits);
}
