// What long work is given: a way to be cancelled and a way to say how far it is. Work never knows who watches.

export interface Progress {
  /** Aborted on cancel, with a BangerError as its reason. Whoever gets it undoes what it made and throws. */
  readonly signal: AbortSignal;
  /** The step under way: one short word ("build", "download", "boot") and, when useful, a detail for people. */
  stage(name: string, detail?: string): void;
  /** Bytes done of the total in this stage; null when the total is not known. */
  bytes(done: number, total: number | null): void;
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
    bytes: (done, total) => progress.bytes(done, total),
  };
}
