// How far the layers of one image are, said not more often than anybody can see.
import type { Descriptor } from "../../lib/oci-content.ts";
import type { Progress, ProgressPart } from "../../lib/progress.ts";
import type { BlobHandle } from "./blob-fetch.ts";

/** Least time between two reports; changes of state never wait. */
const reportIntervalMs = 100;

type Fetched = { handle?: BlobHandle; isDone: boolean };

export class LayerProgress {
  readonly #layers: readonly Descriptor[];
  readonly #progress: Progress;
  readonly #fetched = new Map<string, Fetched>();
  readonly #totalBytes: number;
  #reportedAtMs = Number.NEGATIVE_INFINITY;

  /** Says at once that all of them are waited for. */
  constructor(layers: readonly Descriptor[], progress: Progress) {
    this.#layers = layers;
    this.#progress = progress;
    this.#totalBytes = layers.reduce((sum, layer) => sum + layer.sizeBytes, 0);
    this.#count();
  }

  begun({ digest }: Descriptor, handle: BlobHandle): void {
    this.#fetched.set(digest, { handle, isDone: false });
    this.#report();
  }

  done({ digest }: Descriptor): void {
    this.#fetched.set(digest, { ...this.#fetched.get(digest), isDone: true });
    this.#count();
  }

  /** Some layer has grown. */
  grown(): void {
    if (performance.now() - this.#reportedAtMs >= reportIntervalMs) this.#report();
  }

  #count(): void {
    const done = [...this.#fetched.values()].filter(({ isDone }) => isDone).length;
    const total = this.#layers.length;
    this.#progress.stage("download", `${done} of ${total} ${total === 1 ? "layer" : "layers"}`);
    this.#report();
  }

  #report(): void {
    this.#reportedAtMs = performance.now();
    const parts = this.#layers.map((layer) => partOf(layer, this.#fetched.get(layer.digest)));
    const doneBytes = parts.reduce((sum, part) => sum + part.doneBytes, 0);
    this.#progress.bytes(doneBytes, this.#totalBytes, parts);
  }
}

function partOf({ digest, sizeBytes }: Descriptor, fetched: Fetched | undefined): ProgressPart {
  const part = { name: digest, totalBytes: sizeBytes };
  if (fetched?.handle === undefined) return { ...part, state: "waiting", doneBytes: 0 };
  const { handle, isDone } = fetched;
  const state = handle.cached ? "cached" : isDone ? "done" : "running";
  return { ...part, state, doneBytes: handle.bytes };
}
