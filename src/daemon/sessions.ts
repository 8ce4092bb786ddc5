// Which calls are open between clients and guests: they keep the daemon from being replaced, and a forced stop ends them.
import { BangerError } from "../lib/errors.ts";

export class Sessions {
  readonly #controllers = new Set<AbortController>();

  /** Open calls that a stop of the daemon would break. */
  count(): number {
    return this.#controllers.size;
  }

  /** Counts a call as long as it is not disposed. `controller` is aborted by a forced stop. */
  open(controller: AbortController): Disposable {
    this.#controllers.add(controller);
    return { [Symbol.dispose]: () => void this.#controllers.delete(controller) };
  }

  /** Ends them all. */
  abortAll(): void {
    for (const controller of this.#controllers) {
      controller.abort(new BangerError("daemon.shutting-down", "the daemon is stopping"));
    }
  }
}
