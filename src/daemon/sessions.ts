// Which calls are open between clients and guests: they keep the daemon from being replaced, and a forced stop ends them.
import { BangerError } from "../lib/errors.ts";

export class Sessions {
  readonly #controllers = new Set<AbortController>();
  readonly #idle = new Set<() => void>();

  /** Open calls that a stop of the daemon would break. */
  count(): number {
    return this.#controllers.size;
  }

  /** Counts a call as long as it is not disposed. `controller` is aborted by a forced stop. */
  open(controller: AbortController): Disposable {
    this.#controllers.add(controller);
    return {
      [Symbol.dispose]: () => {
        this.#controllers.delete(controller);
        if (this.#controllers.size === 0) for (const wake of this.#idle) wake();
      },
    };
  }

  /** Resolves when none is open. */
  async ended(): Promise<void> {
    if (this.#controllers.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#idle.add(resolve);
    await promise;
    this.#idle.delete(resolve);
  }

  /** Ends them all. */
  abortAll(): void {
    for (const controller of this.#controllers) {
      controller.abort(new BangerError("daemon.shutting-down", "the daemon is stopping"));
    }
  }
}
