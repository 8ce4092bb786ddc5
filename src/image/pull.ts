// Images from registries: reference, manifest, config, layers; the layers are unpacked while they arrive.
import { BangerError, toBangerError } from "../lib/errors.ts";
import { type Progress, withSignal } from "../lib/progress.ts";
import type { BlobFetches } from "./oci/blob-fetch.ts";
import type { BlobStore } from "./oci/blob-store.ts";
import { fetchLayers } from "./oci/fetch-layers.ts";
import { parsePlatform } from "./oci/platform.ts";
import { resolveImage } from "./oci/resolve-image.ts";
import type { Registries } from "./oci/source.ts";
import { type PublishedRow, publishImage, type StoreParts } from "./publish.ts";

export interface PullParts extends StoreParts {
  registries: Registries;
  blobs: BlobStore;
  fetches: BlobFetches;
}

export interface PullImageRequest {
  platform?: string | undefined;
  /** Plain HTTP and any certificate are fine. */
  insecure?: boolean | undefined;
  /** Makes the disk again although the image is there. */
  force?: boolean | undefined;
}

/** `name` is a reference in its usual form. A name that is there moves to what the registry has now. */
export async function pullImage(
  parts: PullParts,
  name: string,
  request: PullImageRequest,
  progress: Progress,
): Promise<PublishedRow> {
  const platform = request.platform === undefined ? undefined : parsePlatform(request.platform);
  progress.stage("resolve", name);
  const { signal } = progress;
  await using repository = parts.registries.open(name, { insecure: request.insecure ?? false, signal });
  const { source, reference } = repository;
  const image = await resolveImage(source, reference, {
    platform,
    shown: name,
    signal,
    again: `banger image pull ${name}`,
  });
  const stop = new AbortController();
  const both = withSignal(progress, AbortSignal.any([signal, stop.signal]));
  let layers: ReturnType<typeof fetchLayers> | undefined;
  let allThere = false;
  let next: [name: string, detail?: string] = ["unpack", name];
  // How far the download is says more than how far the unpacking of what has arrived is.
  const quiet: Progress = {
    signal: both.signal,
    stage: (stage, detail) => {
      next = detail === undefined ? [stage] : [stage, detail];
      if (allThere) both.stage(...next);
    },
    bytes: (done, total, layerParts) => allThere && both.bytes(done, total, layerParts),
  };
  try {
    const begin = () => {
      layers = fetchLayers(image.manifest.layers, { ...parts, source, store: parts.blobs }, both);
      layers.done.then(
        () => {
          allThere = true;
          both.stage(...next);
        },
        (error: unknown) => stop.abort(error),
      );
      return layers;
    };
    const open: Parameters<typeof publishImage>[2] = (layer) => (layers ?? begin()).file(layer);
    const from = { source: `registry:${name}`, name, force: true, rebuild: request.force === true };
    return await publishImage(parts, image, open, from, quiet);
  } catch (error) {
    signal.throwIfAborted();
    if (stop.signal.aborted) throw stop.signal.reason;
    throw error;
  } finally {
    layers?.[Symbol.dispose]();
    await layers?.done.catch(() => {});
  }
}

/** What there is instead of a single word that no registry has: it was meant for the catalog, and misspelt. */
export function explainWord(name: string, thrown: unknown): unknown {
  const { code, message, cause, details } = toBangerError(thrown);
  if (!/^[\w-]+$/.test(name) || !["image.not-found", "registry.denied"].includes(code)) return thrown;
  return new BangerError(code, message, {
    hint: `banger image catalog  # "${name}" is not in it, so it was asked of a registry`,
    ...(cause === undefined ? {} : { cause }),
    ...(details === undefined ? {} : { details }),
  });
}
