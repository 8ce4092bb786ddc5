// A count that threads share: one of them sets it, the others look. Unlike a message it wakes nobody, and nobody waits for a lock.

export class SharedCount {
  /** What other threads make their own count of. */
  readonly memory: SharedArrayBuffer;
  readonly #cell: BigInt64Array<SharedArrayBuffer>;

  constructor(memory = new SharedArrayBuffer(8)) {
    this.memory = memory;
    this.#cell = new BigInt64Array(memory);
  }

  get value(): number {
    return Number(Atomics.load(this.#cell, 0));
  }

  set value(count: number) {
    Atomics.store(this.#cell, 0, BigInt(count));
  }
}
