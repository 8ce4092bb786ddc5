// The program under measurement, in a home of its own that keeps kernel and image between runs.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { resolvePaths } from "../src/config/paths.ts";
import { run } from "../src/lib/run.ts";

export const root = join(import.meta.dirname, "..");
const prepareTimeoutMs = 1_200_000;

export class Banger {
  readonly homeId: string;
  readonly #environment: Record<string, string>;

  constructor(home: string) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    this.#environment = { BANGER_HOME: home, NO_COLOR: "1" };
    this.homeId = resolvePaths(this.#environment).homeId;
  }

  /** Runs the program to its end; milliseconds of wall time. Throws when it fails. */
  async time(...args: string[]): Promise<number> {
    return (await this.#run(args)).durationMs;
  }

  /** What the program prints with --json. */
  async json(...args: string[]): Promise<unknown> {
    return JSON.parse((await this.#run([...args, "--json"])).stdout.toString());
  }

  /** Pulls the default kernel and image when they are missing, which takes a minute or two; `say` tells the user. */
  async prepare(say: (text: string) => void): Promise<void> {
    say("preparing kernel and image (the first time takes a minute or two) …");
    await this.time("vm", "run", "--rm", "--", "true");
  }

  #run(args: string[]) {
    return run({
      file: join(root, "bin/banger"),
      args,
      env: this.#environment,
      timeoutMs: prepareTimeoutMs,
    });
  }
}
