// The real agent as an ordinary process of this machine, behind a unix socket: the far end for tests of its contract.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GuestAgent } from "../../src/guest/agent.ts";
import { connectGuest } from "../../src/guest/connect.ts";
import { root } from "./source-files.ts";
import { until } from "./until.ts";

const architectures: Partial<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

export class HostedAgent implements AsyncDisposable {
  /** A directory of the test's own, removed with the agent. */
  readonly directory = mkdtempSync(join(tmpdir(), "banger-agent-"));
  readonly #socket = join(this.directory, "agent.sock");
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor() {
    const program = join(root, `dist/agent/banger-agent-${architectures[process.arch]}`);
    assert.ok(existsSync(program), `${program} is not built: run make build`);
    this.#child = spawn(program, ["serve", "--socket", this.#socket], { stdio: ["ignore", "inherit", "inherit"] });
    this.#ended = once(this.#child, "exit");
  }

  /** A new session. The agent serves one at a time: end the last one before. */
  async connect(signal: AbortSignal): Promise<{ agent: GuestAgent; socket: Socket }> {
    const socket = await this.open();
    return { agent: await connectGuest(socket, { signal }), socket };
  }

  /** A connection without a session. */
  open(): Promise<Socket> {
    return until("the agent's socket", async () => {
      const socket = connect(this.#socket);
      await once(socket, "connect");
      return socket;
    });
  }

  /** Ends the agent at once, as a machine that dies. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
