// Blocks that were given to files which later entries replaced or deleted, and can be given to others. What is chosen depends
// on the order of the calls only, so that the same image gets the same bytes.

interface Run {
  first: number;
  blocks: number;
}

/** How many runs of about the wanted length are looked at; a longer one is cut instead. */
const maxLookedAt = 8;

export class FreeRuns {
  /** At index k, runs of 2^k and more blocks, but fewer than 2^(k+1); the youngest last. */
  readonly #bySize: Run[][] = Array.from({ length: 33 }, () => []);
  /** The youngest: what is freed next often lies behind it. */
  #youngest: Run | undefined;

  add(first: number, blocks: number): void {
    if (blocks === 0) return;
    const before = this.#youngest;
    if (before !== undefined && before.first + before.blocks === first) {
      before.blocks += blocks;
      return;
    }
    this.#settle();
    this.#youngest = { first, blocks };
  }

  /** The first of so many blocks in one piece; undefined when there is no such piece. */
  take(blocks: number): number | undefined {
    this.#settle();
    const size = sizeOf(blocks);
    const near = this.#bySize[size] ?? [];
    for (let at = near.length - 1; at >= Math.max(0, near.length - maxLookedAt); at--) {
      const run = near[at];
      if (run === undefined || run.blocks < blocks) continue;
      near.splice(at, 1);
      return this.#cut(run, blocks);
    }
    const larger = this.#bySize
      .slice(size + 1)
      .find((runs) => runs.length > 0)
      ?.pop();
    return larger === undefined ? undefined : this.#cut(larger, blocks);
  }

  /** One of the largest pieces, of `least` (a power of two) to `most` blocks; undefined when there is none. */
  takeLargest(least: number, most: number): Run | undefined {
    this.#settle();
    const run = this.#bySize
      .slice(sizeOf(least))
      .findLast((runs) => runs.length > 0)
      ?.pop();
    if (run === undefined) return undefined;
    const blocks = Math.min(most, run.blocks);
    return { first: this.#cut(run, blocks), blocks };
  }

  #cut({ first, blocks }: Run, wanted: number): number {
    if (blocks > wanted)
      this.#bySize[sizeOf(blocks - wanted)]?.push({ first: first + wanted, blocks: blocks - wanted });
    return first;
  }

  #settle(): void {
    const run = this.#youngest;
    this.#youngest = undefined;
    if (run !== undefined) this.#bySize[sizeOf(run.blocks)]?.push(run);
  }
}

function sizeOf(blocks: number): number {
  return 31 - Math.clz32(blocks);
}
