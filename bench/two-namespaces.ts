// Two network namespaces that a cable joins, for as long as the object lives: a "host", where a daemon can be started, and the "internet" it
// is on. Without root they are in a user namespace of their own.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { run } from "../src/lib/run.ts";

export type Side = "host" | "internet";

/** A public address of the internet's. */
export const internetAddress = "93.184.216.34";

export class TwoNamespaces implements AsyncDisposable {
  readonly #holders: ChildProcess[] = [];
  readonly #pids: Record<Side, number> = { host: 0, internet: 0 };

  private constructor() {}

  /** The caller disposes it. */
  static async make(): Promise<TwoNamespaces> {
    const two = new TwoNamespaces();
    try {
      await two.#wire();
      return two;
    } catch (error) {
      await two[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The beginning of the command line of what is to run there. */
  inside(side: Side): [string, ...string[]] {
    return [
      "nsenter",
      ...(isRoot ? [] : ["--user", "--preserve-credentials"]),
      "--net",
      `--target=${this.#pids[side]}`,
      "--",
    ];
  }

  /** Starts a program of TypeScript there that says "ready" on its stdout, and ends with its stdin. */
  async serve(side: Side, program: string, ...args: string[]): Promise<void> {
    const [file, ...rest] = this.inside(side);
    await this.#hold(file, [...rest, process.execPath, program, ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const holder of this.#holders.toReversed()) {
      if (holder.exitCode !== null || holder.signalCode !== null) continue;
      const over = once(holder, "close");
      holder.stdin?.end();
      await over;
    }
  }

  async #wire(): Promise<void> {
    const hold = ["--net", "sh", "-ec", "echo ready; exec cat"];
    this.#pids.host = await this.#hold("unshare", [...(isRoot ? [] : ["--user", "--map-root-user"]), ...hold]);
    const [file, ...rest] = this.inside("host");
    this.#pids.internet = await this.#hold(file, [...rest, "unshare", ...hold]);
    const ip = async (side: Side, lines: readonly string[]) => {
      for (const line of ["link set lo up", ...lines]) {
        const [nsenter, ...args] = this.inside(side);
        await run({ file: nsenter, args: [...args, "ip", ...line.split(" ")] });
      }
    };
    await ip("internet", [
      `link add far type veth peer name near netns ${this.#pids.host}`,
      "address add 192.168.77.1/24 dev far",
      `address add ${internetAddress}/32 dev lo`,
      "link set far up",
    ]);
    await ip("host", [
      "address add 192.168.77.2/24 dev near",
      "link set near up",
      "route add default via 192.168.77.1",
    ]);
  }

  async #hold(file: string, args: string[]): Promise<number> {
    const holder = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#holders.push(holder);
    const first = once(holder.stdout, "data").then(([said]: Buffer[]) => String(said));
    const ended = once(holder, "close").then(() => "its end");
    const said = await Promise.race([first, ended]);
    if (said !== "ready\n" || holder.pid === undefined) throw new Error(`"${file} ${args.join(" ")}" said ${said}`);
    return holder.pid;
  }
}

const isRoot = process.getuid?.() === 0;
