// Ctrl-C, SIGTERM and SIGHUP: the first one asks (the running command cancels and undoes), the second one leaves at once.
import { BangerError } from "../lib/errors.ts";

type Handler = (signal: NodeJS.Signals) => void;
const numbers: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1, SIGPIPE: 13 };

/** Signals of this process while a command runs. Dispose gives the default behaviour back. */
export class Interrupts implements Disposable {
  readonly #controller = new AbortController();
  readonly #handlers: Handler[] = [];
  readonly #cleanups = new Set<() => void>();
  readonly #listener = (signal: NodeJS.Signals) => this.#receive(signal);
  #received: NodeJS.Signals | undefined;
  #count = 0;
  readonly #leave: (code: number) => void;

  /** `leave` ends the process; tests give another. */
  constructor(leave: (code: number) => void = (code) => process.exit(code)) {
    this.#leave = leave;
  }

  /** Starts to listen; before this the signals end the process as usual. */
  install(): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, this.#listener);
  }

  /** Aborts at the first signal that no handler took. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** 128 + the number of the signal that interrupted the command; undefined when none did. */
  get exitCode(): number | undefined {
    return this.#received === undefined ? undefined : 128 + (numbers[this.#received] ?? 2);
  }

  /** Nobody reads our output any more: ends the command as SIGPIPE would, but with its undo. */
  outputClosed(): void {
    this.#received ??= "SIGPIPE";
    this.#controller.abort(new BangerError("cancelled", "the output was closed"));
  }

  /** Our output is lost: what goes on only to print more of it ends with this. */
  outputFailed(error: BangerError): void {
    this.#controller.abort(error);
  }

  get isOutputClosed(): boolean {
    return this.#received === "SIGPIPE";
  }

  /** Takes the next SIGINT in place of the abort until disposed; several handlers take turns, newest first. */
  handleOnce(handler: Handler): Disposable {
    this.#handlers.push(handler);
    return {
      [Symbol.dispose]: () => {
        const at = this.#handlers.indexOf(handler);
        if (at >= 0) this.#handlers.splice(at, 1);
      },
    };
  }

  /** Runs `cleanup` (synchronous: restore the terminal) also when a second signal ends the process. */
  onLeave(cleanup: () => void): Disposable {
    this.#cleanups.add(cleanup);
    return { [Symbol.dispose]: () => this.#cleanups.delete(cleanup) };
  }

  [Symbol.dispose](): void {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, this.#listener);
  }

  #receive(signal: NodeJS.Signals): void {
    const handler = signal === "SIGINT" ? this.#handlers.pop() : undefined;
    if (handler !== undefined) {
      handler(signal);
      return;
    }
    this.#count++;
    this.#received ??= signal;
    if (this.#count > 1) {
      for (const cleanup of this.#cleanups) cleanup();
      this.#leave(128 + (numbers[signal] ?? 2));
      return;
    }
    this.#controller.abort(new BangerError("cancelled", `interrupted by ${signal}`));
  }
}
