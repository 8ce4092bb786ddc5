// The program under measurement, in a home of its own that keeps kernel and image between runs.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { resolvePaths, type Paths } from "../src/config/paths.ts";
import { run } from "../src/lib/run.ts";
import { connect, type Client } from "../src/sdk/client.ts";

export const root = join(import.meta.dirname, "..");
const prepareTimeoutMs = 1_200_000;

export class Banger {
  readonly paths: Paths;
  readonly #environment: Record<string, string>;

  constructor(home: string) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    // The daemon logs how long each operation kept its event loop busy.
    this.#environment = { BANGER_HOME: home, NO_COLOR: "1", BANGER_DEBUG_LOOP: "1" };
    this.paths = resolvePaths(this.#environment);
  }

  /** Runs the program to its end; milliseconds of wall time. Throws when it fails. */
  async time(...args: string[]): Promise<number> {
    return (await this.#run(args)).durationMs;
  }

  /** What the program prints with --json. */
  async json(...args: string[]): Promise<unknown> {
    return JSON.parse((await this.#run([...args, "--json"])).stdout.toString());
  }

  /** A client of the daemon that runs now, or of the next one. The caller disposes it. */
  client(): Client {
    // "Built" before every daemon, so that none is replaced.
    return connect({ paths: this.paths, build: { version: "bench", builtAt: 0, commit: "" }, autoStart: false });
  }

  /** Pulls the default kernel and image when they are missing, which takes a minute or two; `say` tells the user. */
  async prepare(say: (text: string) => void): Promise<void> {
    say("preparing kernel and image (the first time takes a minute or two) …");
    await this.time("vm", "run", "--rm", "--", "true");
    await this.time("template", "warm", "--image", "debian-bookworm");
  }

  /** How the program is run. */
  command(...args: string[]): { file: string; args: string[]; env: Record<string, string> } {
    return { file: join(root, "bin/banger"), args, env: this.#environment };
  }

  #run(args: string[]) {
    return run({ ...this.command(...args), timeoutMs: prepareTimeoutMs });
  }
}

/** The start of the Node that runs the program, and nothing else; milliseconds. */
export async function bareNode(): Promise<number> {
  return (await run({ file: join(root, "dist/node"), args: ["-e", "0"] })).durationMs;
}
