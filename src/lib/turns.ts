// A bound on how many do the same at the same time, inside one process. Waiting can be cancelled; a turn ends by dispose.

/** Turns are given in the order in which they were asked for. */
export class Turns {
  #free: number;
  readonly #waiting: Set<() => void> = new Set();

  constructor(count: number) {
    this.#free = count;
  }

  /** A turn at once when one is free; else undefined. */
  tryTake(): Disposable | undefined {
    if (this.#free === 0) return undefined;
    this.#free -= 1;
    return this.#turn();
  }

  /** Waits for a turn. Throws the signal's reason when it is aborted first; the place in the queue is given up. */
  async take(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const free = this.tryTake();
    if (free !== undefined) return free;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const giveUp = () => {
      this.#waiting.delete(resolve);
      reject(signal.reason as Error);
    };
    this.#waiting.add(resolve);
    signal.addEventListener("abort", giveUp, { once: true });
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", giveUp);
    }
    return this.#turn();
  }

  #turn(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        // Handed on without becoming free: nobody who comes now gets before those who wait.
        const [next] = this.#waiting;
        if (next === undefined) this.#free += 1;
        else {
          this.#waiting.delete(next);
          next();
        }
      },
    };
  }
}
