// A home whose daemon lives in a network of the test's own: a "host" namespace that a cable joins to an "internet" one with a name server
// and web servers. Both end with this process, however it ends. Nothing goes to any real address.
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Home } from "../home.ts";

/** Of the far end of the cable, where the name server is, too: a private address. */
export const gatewayAddress = "192.168.77.1";
/** The host's own. */
export const hostAddress = "192.168.77.2";
/** Names, all of which the web server answers to, and their addresses. */
export const sites: Readonly<Record<string, string>> = {
  "site.example": "93.184.216.10",
  "api.site.example": "93.184.216.11",
  "other.example": "93.184.216.12",
  "inside.example": gatewayAddress,
  "metadata.example": "169.254.169.254",
};

export class WorldHome extends Home {
  readonly #holders: ChildProcess[] = [];
  #host = 0;

  private constructor() {
    super({ seeded: true });
  }

  /** `network`: the lines below [network] in config.toml, beside the resolver. */
  static async make(network: string): Promise<WorldHome> {
    const home = new WorldHome();
    writeFileSync(join(home.path, "config.toml"), `[network]\nresolvers = ["${gatewayAddress}"]\n${network}`);
    home.#host = await home.#hold("unshare", ["--net", "sh", "-ec", "ip link set lo up; echo ready; exec cat"]);
    const servers = join(import.meta.dirname, "fake-servers.ts");
    const wire = [
      "ip link set lo up",
      `ip link add near netns ${home.#host} type veth peer name far`,
      `ip address add ${gatewayAddress}/24 dev far`,
      "ip link set far up",
      ...Object.values(sites)
        .filter((address) => address !== gatewayAddress)
        .map((address) => `ip address add ${address}/32 dev lo`),
    ];
    const serve = `${wire.join("; ")}; exec ${process.execPath} ${servers} '${JSON.stringify(sites)}'`;
    await home.#hold("unshare", ["--net", "sh", "-ec", serve]);
    home.#inHost(["ip", "address", "add", `${hostAddress}/24`, "dev", "near"]);
    home.#inHost(["ip", "link", "set", "near", "up"]);
    home.#inHost(["ip", "route", "add", "default", "via", gatewayAddress]);
    return home;
  }

  protected override command(args: readonly string[]): [string, ...string[]] {
    return ["nsenter", "--net", `--target=${this.#host}`, "--", ...super.command(args)];
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    try {
      await super[Symbol.asyncDispose]();
    } finally {
      for (const holder of this.#holders) {
        const over = once(holder, "close");
        // What holds a namespace lives as long as its stdin.
        holder.stdin?.end();
        await over;
      }
    }
  }

  /** Starts what holds a namespace and resolves with its pid once it says "ready". */
  async #hold(file: string, args: string[]): Promise<number> {
    const holder = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.#holders.push(holder);
    const [said] = (await once(holder.stdout, "data")) as [Buffer];
    assert.equal(String(said), "ready\n");
    assert.ok(holder.pid !== undefined);
    return holder.pid;
  }

  #inHost(argv: string[]): void {
    const done = spawnSync("nsenter", ["--net", `--target=${this.#host}`, "--", ...argv], { encoding: "utf8" });
    assert.equal(done.status, 0, `${argv.join(" ")}: ${done.stderr}`);
  }
}
