// How far a snapshot is that is being taken of a running VM, for those who start machines from it meanwhile.
import type { Standby } from "../../vmm/driver.ts";
import type { Origin } from "./origin.ts";

/**
 * Gates that whoever takes a snapshot opens in this order. `end` rejects what is still closed, so that nobody waits for ever.
 * A gate that nobody waits for may be rejected.
 */
export class Taking {
  /** It is taken for one machine only, which may get the memory without a file. */
  readonly forOne: boolean;
  #handsOver = false;
  #failed = false;
  readonly #begun = Promise.withResolvers<Origin | undefined>();
  readonly #laidOut = Promise.withResolvers<void>();
  readonly #standby = Promise.withResolvers<Standby>();
  readonly #captured = Promise.withResolvers<void>();
  readonly #taken = Promise.withResolvers<void>();

  constructor(options: { forOne: boolean }) {
    this.forOne = options.forOne;
    for (const gate of [this.#begun, this.#laidOut, this.#standby, this.#captured, this.#taken]) {
      gate.promise.catch(() => {});
    }
  }

  /** Its frozen disks have their names, its row is there, and its memory will fit this host. Undefined: no memory is taken. */
  get begun(): Promise<Origin | undefined> {
    return this.#begun.promise;
  }

  /** The files that its memory and devices go to are there: a VMM may be made ready for them. */
  get laidOut(): Promise<void> {
    return this.#laidOut.promise;
  }

  /** Memory is complete, and the frozen disks are not written to any more: machines may start. The VM may stand still for a moment yet. */
  get captured(): Promise<void> {
    return this.#captured.promise;
  }

  /** All is over, and recorded: nothing of the snapshot can fail any more. */
  get taken(): Promise<void> {
    return this.#taken.promise;
  }

  /** Memory goes straight to the VMM; known when it has begun. */
  get handsOver(): boolean {
    return this.#handsOver;
  }

  /** It was given up: its disks may not be frozen, and nothing is to be started from them. */
  get failed(): boolean {
    return this.#failed;
  }

  begin(origin: Omit<Origin, "taking">, { handsOver }: { handsOver: boolean }): void {
    this.#handsOver = handsOver;
    this.#begun.resolve({ ...origin, taking: this });
  }

  /** The VMM that a machine is started with: opened by those who start machines. */
  get standby(): Promise<Standby> {
    return this.#standby.promise;
  }

  offer(standby: Promise<Standby>): void {
    this.#standby.resolve(standby);
  }

  /** There will be no VMM. */
  withdraw(error: unknown): void {
    this.#standby.reject(error);
  }

  layOut(): void {
    this.#laidOut.resolve();
  }

  capture(): void {
    this.#captured.resolve();
  }

  /** Without an error: it is taken, maybe without that machines could have been started meanwhile. */
  end(error?: unknown): void {
    this.#failed = error !== undefined;
    for (const gate of [this.#begun, this.#laidOut, this.#captured, this.#taken]) {
      if (error === undefined) (gate as PromiseWithResolvers<unknown>).resolve(undefined);
      else gate.reject(error);
    }
  }
}
