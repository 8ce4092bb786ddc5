// The control socket of one machine over its life: lost and connected again, commands with a deadline, events for whoever listens.
import { deadline } from "../../lib/abort.ts";
import { BangerError } from "../../lib/errors.ts";
import { connectQmp } from "./qmp.ts";
import type { QmpClient, QmpEvent } from "./qmp.ts";

const commandTimeoutMs = 10_000;

export class Control {
  readonly #path: string;
  readonly #vmId: string;
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #qmp: QmpClient | undefined;

  constructor(path: string, vmId: string) {
    this.#path = path;
    this.#vmId = vmId;
  }

  /** Throws what connectQmp throws. */
  async connect(signal: AbortSignal): Promise<void> {
    this.#qmp = await connectQmp(this.#path, {
      signal,
      onEvent: (event) => {
        for (const listener of this.#listeners) listener(event);
      },
    });
  }

  /** Until disposed, `listener` gets every event. */
  listen(listener: (event: QmpEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** The end of the connection that is open now, as QmpClient says it; undefined when there is none. */
  get closed(): Promise<BangerError | undefined> | undefined {
    return this.#qmp?.closed;
  }

  /** Lets go of the connection; `connect` makes another. */
  drop(): void {
    this.#qmp?.close();
    this.#qmp = undefined;
  }

  /** Runs one command. Throws `vmm.failed` with QEMU's words, or when there is no answer in time; the signal's reason on abort. */
  async command(
    command: string,
    args: Record<string, unknown> = {},
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<unknown> {
    if (this.#qmp === undefined) {
      throw new BangerError("vmm.failed", `the control socket of the VMM of "${this.#vmId}" does not answer`);
    }
    const timeoutMs = options.timeoutMs ?? commandTimeoutMs;
    using limit = deadline(
      options.signal ?? new AbortController().signal,
      timeoutMs,
      () =>
        new BangerError(
          "vmm.failed",
          `the VMM of "${this.#vmId}" did not answer "${command}" within ${timeoutMs / 1000} s`,
        ),
    );
    return await this.#qmp.execute(command, args, { signal: limit.signal });
  }
}
