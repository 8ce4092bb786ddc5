// A BANGER_HOME of a test's own, the real program in it, and proof that nothing is left when the test ends.
import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { VmRecord } from "../../src/api/records.ts";
import { seedHome } from "./seed.ts";
export { smallVm } from "./seed.ts";

export const root = join(import.meta.dirname, "../..");
const program = join(root, "bin/banger");

export interface Ran {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

export interface StartOptions {
  /** Written to stdin, then closed. Absent: /dev/null. */
  stdin?: string | Buffer;
  env?: Record<string, string>;
  cwd?: string;
}

export class Home implements AsyncDisposable {
  readonly path: string;

  /** `seeded`: kernel and image are there, as hard links to the seed's. Needs test/support/seed.ts to have run. */
  constructor(options: { seeded: boolean; path?: string }) {
    this.path = options.path ?? mkdtempSync(join(tmpdir(), "banger-test-"));
    // Many daemons run beside each other, and only one could have the usual port.
    if (options.path === undefined) writeFileSync(join(this.path, "config.toml"), "[dns]\nport = 0\n");
    if (options.seeded) {
      const copied = spawnSync("cp", ["-a", "--link", `${seedHome}/state`, `${seedHome}/cache`, this.path]);
      assert.equal(copied.status, 0, String(copied.stderr));
      // The database is written to: a copy, not a link.
      for (const name of readdirSync(join(seedHome, "state")).filter((file) => /^banger(d\.log|\.db.*)$/.test(file))) {
        rmSync(join(this.path, "state", name));
        if (name.startsWith("banger.db"))
          spawnSync("cp", ["-a", join(seedHome, "state", name), join(this.path, "state")]);
      }
    }
  }

  /** Where this process sees the files of the home. */
  get files(): string {
    return this.path;
  }

  /** The command line that runs the program. */
  protected command(args: readonly string[]): [string, ...string[]] {
    return [program, ...args];
  }

  environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
    return { ...process.env, NO_COLOR: "1", ...extra, BANGER_HOME: this.path };
  }

  /** Starts the program; it runs until it ends by itself or the caller kills it. */
  start(args: readonly string[], options: StartOptions = {}): ChildProcess {
    const [file, ...rest] = this.command(args);
    const child = spawn(file, rest, {
      env: this.environment(options.env),
      cwd: options.cwd ?? root,
      stdio: [options.stdin === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    // A program may stop reading early: what it makes of that is what is tested.
    child.stdin?.on("error", () => {});
    if (options.stdin !== undefined) child.stdin?.end(options.stdin);
    return child;
  }

  /** Runs the program to its end. */
  async run(args: readonly string[], options: StartOptions = {}): Promise<Ran> {
    return await finished(this.start(args, options));
  }

  /** Runs it and expects success; the error shows both outputs. */
  async ok(args: readonly string[], options: StartOptions = {}): Promise<Ran> {
    const ran = await this.run(args, options);
    assert.equal(ran.code, 0, `banger ${args.join(" ")}\nstdout: ${ran.stdout}\nstderr: ${ran.stderr}`);
    return ran;
  }

  /** Runs it with --json and parses stdout. */
  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse((await this.ok(args.includes("--json") ? args : [...args, "--json"])).stdout) as T;
  }

  /** All VMs, newest first. */
  async vms(): Promise<VmRecord[]> {
    return await this.json<VmRecord[]>(["vm", "list", "--all"]);
  }

  /** Pids of the processes that carry this home in their environment or working directory: daemon and VMMs. */
  processes(): { pid: number; command: string }[] {
    return readdirSync("/proc").flatMap((name) => {
      if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        const mine =
          readFileSync(`/proc/${name}/environ`, "utf8").split("\0").includes(`BANGER_HOME=${this.path}`) ||
          command.includes(`${this.path}/`);
        return mine && command !== "" ? [{ pid: Number(name), command }] : [];
      } catch {
        return [];
      }
    });
  }

  /** Deletes all VMs, stops the daemon, and checks that nothing of this home runs any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (existsSync(join(this.files, "run"))) {
      const vms = await this.vms().catch(() => []);
      if (vms.length > 0) await this.run(["vm", "delete", ...vms.map((vm) => vm.id)]);
      await this.run(["daemon", "stop", "--force"]);
    }
    const left = this.processes();
    for (const { pid } of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // Ended meanwhile.
      }
    }
    rmSync(this.path, { recursive: true, force: true });
    assert.deepEqual(left, [], "processes were left behind");
  }
}

/** The outcome of a process once it and its outputs have ended. */
export async function finished(child: ChildProcess): Promise<Ran> {
  const ended = Promise.withResolvers<{ code: number | null; signal: NodeJS.Signals | null }>();
  child.once("error", ended.reject);
  child.once("close", (code, signal) => ended.resolve({ code, signal }));
  const [stdout, stderr, { code, signal }] = await Promise.all([
    child.stdout === null ? "" : text(child.stdout),
    child.stderr === null ? "" : text(child.stderr),
    ended.promise,
  ]);
  return { code, signal, stdout, stderr };
}
