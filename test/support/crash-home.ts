// A home whose daemon is made to die: at a named point (src/lib/crash-point.ts), or when the test says so. Works with the SDK in
// this process, so that a kill costs a daemon and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import type { VmRecord } from "../../src/api/records.ts";
import { resolvePaths } from "../../src/config/paths.ts";
import { BangerError } from "../../src/lib/errors.ts";
import { mib } from "../../src/lib/units.ts";
import { connect, type Client } from "../../src/sdk/client.ts";
import { exec } from "../../src/sdk/exec.ts";
import { Home, root } from "./home.ts";
import { isRunning } from "./processes.ts";
import { until } from "./until.ts";

/** What the seed has a memory template for, with small disks. */
export const smallSpec = { memoryMib: 256, vcpus: 1, diskBytes: 256 * mib, overlayBytes: 256 * mib };

const marker = "/root/marker";
const longestMs = 120_000;
const lateMs = 20_000;

export class CrashHome extends Home {
  /** Of a daemon that does not die by itself; the next call after a kill starts one. */
  readonly client: Client;
  /** Daemons that this test has ended with SIGKILL, or that have ended themselves so. */
  kills = 0;
  /** Things that were found to belong to nothing. */
  leaks = 0;

  constructor() {
    super({ seeded: true });
    this.client = this.#connect(true, {});
  }

  /** "Built" before every daemon, so that none is replaced. */
  #connect(autoStart: boolean, env: Record<string, string>): Client {
    return connect({
      paths: resolvePaths({ BANGER_HOME: this.path }),
      build: { version: "test", builtAt: 0, commit: "test" },
      autoStart,
      daemonCommand: [join(root, "dist/node"), join(root, "dist/bangerd.mjs")],
      env: this.environment(env),
    });
  }

  /** Ends the daemon, which may be in the middle of anything. */
  async kill(): Promise<void> {
    const { pid } = await this.client.call("daemon.status", {});
    await this.#kill(pid);
  }

  async #kill(pid: number): Promise<void> {
    process.kill(pid, "SIGKILL");
    this.kills++;
    await until("the daemon to be gone", () => (isRunning(pid) ? undefined : true), longestMs);
  }

  /** Runs the verb with a daemon that dies at the point. Fails when the daemon lives on. */
  async dieAt(point: string, verb: (client: Client) => Promise<unknown>): Promise<void> {
    await this.kill();
    using starter = this.#connect(true, { BANGER_DEBUG_CRASH_AT: point });
    const { pid } = await starter.call("daemon.status", {});
    using client = this.#connect(false, {});
    const outcome = await verb(client).catch((error: unknown) => error);
    if (outcome instanceof Error && !isInterruption(outcome)) {
      throw new Error(`the daemon was to die at "${point}"`, { cause: outcome });
    }
    // What goes on in the background gets to its point a little later.
    await until(`the daemon to die at "${point}"`, () => (isRunning(pid) ? undefined : true), lateMs).catch(
      (error: unknown) => {
        throw new Error(`the daemon lives on; its log ends with:\n${this.#logTail()}`, { cause: error });
      },
    );
    this.kills++;
  }

  #logTail(): string {
    const lines = readFileSync(join(this.path, "state/bangerd.log"), "utf8").trimEnd().split("\n");
    return lines
      .filter((line) => !line.includes('"msg":"call"'))
      .slice(-12)
      .join("\n");
  }

  /** Does several things at once and kills the daemon in the middle; returns what they ended with. */
  async dieAfter(delayMs: number, verbs: readonly ((client: Client) => Promise<unknown>)[]): Promise<unknown[]> {
    const { pid } = await this.client.call("daemon.status", {});
    using client = this.#connect(false, {});
    const all = verbs.map((verb) => verb(client).catch((error: unknown) => error));
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    await this.#kill(pid);
    return await Promise.all(all);
  }

  async records(): Promise<VmRecord[]> {
    return (await this.client.call("vm.list", {})).vms;
  }

  async find(name: string): Promise<VmRecord | undefined> {
    return (await this.records()).find((vm) => vm.name === name);
  }

  /** Output of a command, which must succeed. */
  async output(vm: string, ...argv: string[]): Promise<string> {
    return await outputOf(this.client, vm, argv);
  }

  /** A running VM with a file of its own in it, durable. */
  async makeMarked(name: string): Promise<VmRecord> {
    const vm = await this.client.operate("vm.create", { name, ...smallSpec });
    await this.mark(vm);
    return vm;
  }

  async mark(vm: VmRecord, client = this.client): Promise<void> {
    await outputOf(client, vm.id, ["sh", "-c", `echo ${vm.id} >${marker} && sync`]);
  }

  /** What `makeMarked` has written. */
  async readMark(vm: string): Promise<string> {
    return await this.output(vm, "cat", marker);
  }

  /** Brings a VM into a state by ordinary verbs, from whatever state it is in; makes it when it is not there. */
  async ensure(name: string, state: "running" | "stopped" | "paused"): Promise<VmRecord> {
    const { client } = this;
    let vm = (await this.find(name)) ?? (await this.makeMarked(name));
    if (vm.state === state) return vm;
    if (vm.state === "paused") vm = await client.operate("vm.resume", { vm: name });
    if (state === "stopped") return await client.call("vm.kill", { vm: name });
    if (vm.state !== "running") vm = await client.operate("vm.start", { vm: name });
    return state === "paused" ? await client.operate("vm.pause", { vm: name }) : vm;
  }

  async remove(name: string): Promise<void> {
    if ((await this.find(name)) !== undefined) await this.client.operate("vm.delete", { vm: name });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await super[Symbol.asyncDispose]();
  }
}

/** What a call ends with whose daemon has died. */
export function isInterruption(thrown: unknown): boolean {
  return thrown instanceof BangerError && /^(?:operation\.interrupted|daemon\.unreachable)$/.test(thrown.code);
}

async function outputOf(client: Client, vm: string, argv: string[]): Promise<string> {
  let text = "";
  const sink = () =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString();
        done();
      },
    });
  const { exited } = await exec(client, { vm, argv }, { stdout: sink(), stderr: sink() });
  const { code } = await exited;
  assert.equal(code, 0, `${argv.join(" ")} in ${vm}: ${text}`);
  return text.trim();
}
