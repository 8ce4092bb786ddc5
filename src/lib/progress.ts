// What long work is given: a way to be cancelled and a way to say how far it is. Work never knows who watches.

/** One of several things that arrive at the same time: a layer of an image. */
export interface ProgressPart {
  /** What it is: a digest. */
  name: string;
  /** cached: it was there before. */
  state: "waiting" | "running" | "done" | "cached";
  doneBytes: number;
  totalBytes: number;
}

export interface Progress {
  /** Aborted on cancel, with a BangerError as its reason. Whoever gets it undoes what it made and throws. */
  readonly signal: AbortSignal;
  /** The step under way: one short word ("build", "download", "boot") and, when useful, a detail for people. */
  stage(name: string, detail?: string): void;
  /** Bytes done of the total in this stage; null when the total is not known. `parts`: what they are made of, in its order. */
  bytes(done: number, total: number | null, parts?: readonly ProgressPart[]): void;
}

/** Progress that nobody watches. */
export function quietProgress(signal: AbortSignal): Progress {
  return { signal, stage() {}, bytes() {} };
}

/** The same watcher for work that ends on another signal. */
export function withSignal(progress: Progress, signal: AbortSignal): Progress {
  return {
    signal,
    stage: (name, detail) => progress.stage(name, detail),
    bytes: (done, total, parts) => progress.bytes(done, total, parts),
  };
}
