// How far a snapshot is that is being taken of a running VM, for those who start machines from it meanwhile.
import type { Origin } from "./origin.ts";

/**
 * Gates that whoever takes a snapshot opens in this order. `end` rejects what is still closed, so that nobody waits for ever.
 * A gate that nobody waits for may be rejected.
 */
export class Taking {
  readonly #begun = Promise.withResolvers<Origin | undefined>();
  readonly #captured = Promise.withResolvers<void>();
  readonly #taken = Promise.withResolvers<void>();

  constructor() {
    for (const gate of [this.#begun, this.#captured, this.#taken]) gate.promise.catch(() => {});
  }

  /** Its frozen disks have their names, its row is there, and its memory will fit this host. Undefined: no memory is taken. */
  get begun(): Promise<Origin | undefined> {
    return this.#begun.promise;
  }

  /** Memory is complete, and the frozen disks are not written to any more: machines may start. The VM may stand still for a moment yet. */
  get captured(): Promise<void> {
    return this.#captured.promise;
  }

  /** All is over, and recorded: nothing of the snapshot can fail any more. */
  get taken(): Promise<void> {
    return this.#taken.promise;
  }

  begin(origin: Omit<Origin, "taking">): void {
    this.#begun.resolve({ ...origin, taking: this });
  }

  capture(): void {
    this.#captured.resolve();
  }

  /** Without an error: it is taken, maybe without that machines could have been started meanwhile. */
  end(error?: unknown): void {
    for (const gate of [this.#begun, this.#captured, this.#taken]) {
      if (error === undefined) (gate as PromiseWithResolvers<unknown>).resolve(undefined);
      else gate.reject(error);
    }
  }
}
