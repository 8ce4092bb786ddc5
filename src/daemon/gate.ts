// Who is let in: nobody while the daemon stops, and nobody who is newer than the daemon without knowing it.
import type { IncomingMessage } from "node:http";
import { BangerError } from "../lib/errors.ts";
import type { BuildInfo } from "../lib/build-info.ts";
import { clientBuild } from "./request.ts";

/** Methods that an outdated daemon must still answer: they are how it is replaced. */
const versionFree = new Set(["daemon.stop", "daemon.status"]);

export class Gate {
  readonly #build: BuildInfo;
  #closed = false;

  constructor(build: BuildInfo) {
    this.#build = build;
  }

  /** From now on every call is refused with `daemon.shutting-down`. */
  close(): void {
    this.#closed = true;
  }

  /** Throws `daemon.shutting-down`, or `daemon.outdated` for a newer client that did not send `banger-accept-outdated`. */
  check(method: string, request: IncomingMessage): void {
    if (this.#closed) throw new BangerError("daemon.shutting-down", "the daemon is stopping");
    if (versionFree.has(method) || request.headers["banger-accept-outdated"] !== undefined) return;
    const client = clientBuild(request);
    if (client.builtAt > this.#build.builtAt) {
      throw new BangerError(
        "daemon.outdated",
        `the daemon (${this.#build.version}) is older than its client (${client.version})`,
        {
          hint: "banger daemon stop",
          details: { version: this.#build.version, builtAt: this.#build.builtAt, pid: process.pid },
        },
      );
    }
  }
}
