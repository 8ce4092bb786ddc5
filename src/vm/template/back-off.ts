// What failed is not tried again at once: each further failure doubles the time until then.

const firstMs = 60_000;
const longestMs = 3600_000;

interface Failures {
  count: number;
  untilMs: number;
}

/** Remembers failures by key. Times are of the monotonic clock; `nowMs` is for tests. */
export class BackOff {
  readonly #failures = new Map<string, Failures>();
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** True while it is too soon to try again. */
  holds(key: string): boolean {
    return (this.#failures.get(key)?.untilMs ?? 0) > this.#nowMs();
  }

  /** Notes a failure and returns for how long it holds, in milliseconds. */
  failed(key: string): number {
    const count = (this.#failures.get(key)?.count ?? 0) + 1;
    const waitMs = Math.min(longestMs, firstMs * 2 ** (count - 1));
    this.#failures.set(key, { count, untilMs: this.#nowMs() + waitMs });
    return waitMs;
  }
}
