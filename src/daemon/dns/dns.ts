// Names below ".vm" as a part of the daemon: begun after everything else, never in its way, and able to say how it is.
import { setTimeout as delay } from "node:timers/promises";
import type { ResultOf } from "../../api/methods.ts";
import { toBangerError } from "../../lib/errors.ts";
import type { DnsServerOptions } from "./server.ts";

export const dnsHost = "127.0.0.1";
const headStartMs = 200;

/** Begun by `begin`; until then, and with port 0, nothing is served. */
export class Dns implements AsyncDisposable {
  readonly #options: DnsServerOptions;
  readonly #begun = Promise.withResolvers<void>();
  #problem = "it has not begun yet";
  readonly #over = new AbortController();
  #server: AsyncDisposable | undefined;

  constructor(options: DnsServerOptions) {
    this.#options = options;
  }

  get port(): number {
    return this.#options.port;
  }

  /** Loads the server and listens, a moment later. Never throws: what is wrong stands in the status. */
  async begin(): Promise<void> {
    const { log, port } = this.#options;
    if (port === 0) return this.#is("it is switched off: port = 0 below [dns] in config.toml");
    try {
      // The command that started the daemon comes first.
      await delay(headStartMs, undefined, { signal: this.#over.signal });
      const { openDnsServer } = await import("./server.ts");
      this.#server = await openDnsServer(this.#options);
      log.info("names of VMs are answered", { port });
      this.#is("");
    } catch (error) {
      const { message } = toBangerError(error);
      if (!this.#over.signal.aborted) log.warn("names of VMs are not answered", { port, reason: message });
      this.#is(message);
    }
  }

  /** Waits until it is known whether it listens. */
  async status(): Promise<ResultOf<"dns.status">> {
    await this.#begun.promise;
    return this.now();
  }

  /** As it is known now: a daemon that has just begun need not listen yet. */
  now(): ResultOf<"dns.status"> {
    return { server: dnsHost, port: this.port, listening: this.#server !== undefined, problem: this.#problem };
  }

  #is(problem: string): void {
    this.#problem = problem;
    this.#begun.resolve();
  }

  /** To be called after `begin`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#begun.promise;
    await this.#server?.[Symbol.asyncDispose]();
  }
}
