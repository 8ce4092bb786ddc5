// Fetches the layers of one image, some at a time, in the order in which they are unpacked, and says how far each is.
import { ensureDirectory } from "../../lib/files.ts";
import type { Progress } from "../../lib/progress.ts";
import { requireSpace } from "../layer/space.ts";
import type { BlobFetches, BlobHandle } from "./blob-fetch.ts";
import type { BlobStore } from "./blob-store.ts";
import type { BlobFile } from "../layer/blob-file.ts";
import type { BlobSaver, Descriptor } from "../../lib/oci-content.ts";
import { layerLabel } from "./manifest.ts";
import { LayerProgress } from "./layer-progress.ts";

export interface LayerFetch extends Disposable {
  /** The file in which one of the layers is or arrives, for another thread to read before this is disposed. */
  file(layer: Descriptor): Promise<BlobFile>;
  /** Rejects with the first failure; settles when all layers are there. */
  readonly done: Promise<void>;
}

const atOnce = 3;

/** Begins at once. Disposing it stops what nobody else waits for; what has arrived stays for a later pull. */
export function fetchLayers(
  layers: readonly Descriptor[],
  { source, store, fetches }: { source: BlobSaver; store: BlobStore; fetches: BlobFetches },
  progress: Progress,
): LayerFetch {
  const unique = [...new Map(layers.map((layer) => [layer.digest, layer])).values()];
  const lease = store.lease();
  for (const layer of unique) lease.add(layer.digest);
  const handles = new Map(unique.map((layer) => [layer.digest, Promise.withResolvers<BlobHandle>()]));
  for (const { promise } of handles.values()) promise.catch(() => {});
  const open: BlobHandle[] = [];
  let over = false;
  const report = new LayerProgress(unique, progress);
  const waiting = [...unique.entries()];
  const room = requireRoom(store, unique);
  room.catch(() => {});
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, layer] = next;
      const slot = handles.get(layer.digest);
      try {
        await room;
        progress.signal.throwIfAborted();
        const label = layerLabel(unique, index);
        const handle = await fetches.get(layer, source, label, () => report.grown());
        if (over) handle[Symbol.dispose]();
        open.push(handle);
        slot?.resolve(handle);
        report.begun(layer, handle);
        await handle.done;
        report.done(layer);
      } catch (error) {
        slot?.reject(error);
        for (const [, skipped] of waiting.splice(0)) handles.get(skipped.digest)?.reject(error);
        throw error;
      }
    }
  };
  const done = Promise.all(Array.from({ length: atOnce }, worker)).then(() => {});
  done.catch(() => {});
  const handleOf = (layer: Descriptor) => handles.get(layer.digest)?.promise ?? missingLayer(layer);
  return {
    done,
    file: async (layer) => (await handleOf(layer)).file(),
    [Symbol.dispose]: () => {
      over = true;
      waiting.splice(0);
      for (const handle of open) handle[Symbol.dispose]();
      const release = () => lease[Symbol.dispose]();
      done.then(release, release);
    },
  };
}

/** Throws `disk.full` when what is missing of the layers does not fit: what else is written should not meet a full disk. */
async function requireRoom(store: BlobStore, layers: readonly Descriptor[]): Promise<void> {
  const missing = await store.missingBytes(layers);
  if (missing === 0) return;
  await ensureDirectory(store.directory);
  requireSpace(store.directory, missing);
}

function missingLayer(layer: Descriptor): never {
  throw new Error(`no layer ${layer.digest} was fetched`);
}
