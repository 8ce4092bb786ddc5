// Which calls are open between clients and guests: they keep the daemon from being replaced, and a forced stop ends them. And which only
// watch: a stop tells those, too.
import { BangerError } from "../lib/errors.ts";

/** What those are told whose work a stop of the daemon cuts off. */
export function daemonStopped(): BangerError {
  return new BangerError("daemon.shutting-down", "the daemon was stopped meanwhile", {
    hint: "banger vm list  # starts it again; then run the command once more",
  });
}

export class Sessions {
  readonly #open = new Set<AbortController>();
  readonly #watching = new Set<AbortController>();
  readonly #idle = new Set<() => void>();

  /** Open calls that a stop of the daemon would break. */
  count(): number {
    return this.#open.size;
  }

  /** Counts a call as long as it is not disposed. `controller` is aborted by a forced stop. */
  open(controller: AbortController): Disposable {
    return this.#keep(this.#open, controller);
  }

  /** The same for a call that is not counted: it does nothing that a stop could break. */
  watch(controller: AbortController): Disposable {
    return this.#keep(this.#watching, controller);
  }

  /** Resolves when none is there. */
  async ended(): Promise<void> {
    if (this.#isIdle()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.add(resolve);
    await promise;
    this.#idle.delete(resolve);
  }

  /** Ends them all. */
  abortAll(): void {
    for (const controller of [...this.#open, ...this.#watching]) controller.abort(daemonStopped());
  }

  #keep(among: Set<AbortController>, controller: AbortController): Disposable {
    among.add(controller);
    return {
      [Symbol.dispose]: () => {
        among.delete(controller);
        if (this.#isIdle()) for (const wake of this.#idle) wake();
      },
    };
  }

  #isIdle(): boolean {
    return this.#open.size + this.#watching.size === 0;
  }
}
