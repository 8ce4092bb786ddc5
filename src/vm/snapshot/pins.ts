// Which snapshots a verb under way rests on: nobody may remove their files before it has ended.

/** Counts holders by snapshot id. */
export class Pins {
  readonly #holders = new Map<string, number>();

  /** Holds a snapshot until disposed, once. Whoever lets go of one sweeps afterwards (`sweepSnapshots`). */
  hold(id: string): Disposable {
    this.#holders.set(id, (this.#holders.get(id) ?? 0) + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const left = (this.#holders.get(id) ?? 1) - 1;
        if (left > 0) this.#holders.set(id, left);
        else this.#holders.delete(id);
      },
    };
  }

  has(id: string): boolean {
    return this.#holders.has(id);
  }
}
