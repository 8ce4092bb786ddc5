// A BANGER_HOME whose daemon has fake services, clients for it, and the proof that no daemon is left.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolvePaths, type Paths } from "../../../src/config/paths.ts";
import { connect, type Client, type ConnectOptions } from "../../../src/sdk/client.ts";
import { processesWith } from "./processes.ts";
import { until } from "../until.ts";

const program = join(import.meta.dirname, "fake-bangerd.ts");

export class DaemonHome implements AsyncDisposable {
  readonly path: string;
  readonly paths: Paths;
  readonly notices: string[] = [];
  readonly #base: string;

  /** `below`: more directories under the temporary one, for long paths. */
  constructor(below = "") {
    this.#base = mkdtempSync(join(tmpdir(), "banger-daemon-"));
    this.path = join(this.#base, below);
    this.paths = resolvePaths({ BANGER_HOME: this.path });
  }

  client(options: Partial<ConnectOptions> & { builtAt?: number } = {}): Client {
    const { builtAt = 0, ...rest } = options;
    return connect({
      paths: this.paths,
      build: { version: "test", builtAt, commit: "test" },
      autoStart: true,
      daemonCommand: [process.execPath, program],
      env: { ...process.env, BANGER_HOME: this.path, BANGER_DEBUG_BUILT_AT: String(builtAt) },
      onNotice: (text) => this.notices.push(text),
      ...rest,
    });
  }

  /** Pids of this home's daemons. */
  daemons(): number[] {
    return processesWith(`BANGER_HOME=${this.path}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client({ autoStart: false })
      .call("daemon.stop", { force: true })
      .catch(() => {});
    try {
      await until("the daemon to end", () => (this.daemons().length === 0 ? true : undefined), 15_000);
    } finally {
      const left = this.daemons();
      for (const pid of left) process.kill(pid, "SIGKILL");
      rmSync(this.#base, { recursive: true, force: true });
      assert.deepEqual(left, []);
    }
  }
}
