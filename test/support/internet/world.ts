// A home whose daemon lives in a network of the test's own: a "host" namespace that a cable joins to an "internet" one with a name server
// and web servers. Both end with this process, however it ends. Nothing goes to any real address.
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Home, root } from "../home.ts";

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

/** Hosts of package-hosts.ts: their addresses, and the directory with what they serve over HTTPS. */
export interface Packages {
  readonly addresses: Readonly<Record<string, string>>;
  readonly directory: string;
}

export class WorldHome extends Home {
  readonly #holders: ChildProcess[] = [];
  #host = 0;
  #internet = 0;
  /** What belongs to the world and not to the home: its processes are no processes of the home. */
  readonly #outside = mkdtempSync(join(tmpdir(), "banger-world-"));

  private constructor() {
    super({ seeded: true });
  }

  /**
   * `network`: the lines below [network] in config.toml, beside the resolver, which is the one of fake-servers.ts unless said otherwise.
   * `files`: directory that is served below /files/.
   */
  static async make(
    network: string,
    options: { resolver?: string; packages?: Packages; files?: string } = {},
  ): Promise<WorldHome> {
    const home = new WorldHome();
    const names = { ...sites, ...options.packages?.addresses };
    const resolver = options.resolver ?? gatewayAddress;
    writeFileSync(join(home.path, "config.toml"), `[network]\nresolvers = ["${resolver}"]\n${network}`);
    home.#host = await home.#hold("unshare", ["--net", "sh", "-ec", "ip link set lo up; echo ready; exec cat"]);
    home.#makeCertificate(Object.keys(names));
    const servers = join(import.meta.dirname, "fake-servers.ts");
    const wire = [
      "ip link set lo up",
      `ip link add near netns ${home.#host} type veth peer name far`,
      `ip address add ${gatewayAddress}/24 dev far`,
      "ip link set far up",
      ...Object.values(names)
        .filter((address) => address !== gatewayAddress)
        .map((address) => `ip address add ${address}/32 dev lo`),
    ];
    const serve = [process.execPath, servers, JSON.stringify(names), home.#key, home.certificate];
    const script = `${wire.join("; ")}; exec "$0" "$@"`;
    const directories = [options.packages?.directory ?? "", options.files ?? ""];
    home.#internet = await home.#hold("unshare", ["--net", "sh", "-ec", script, ...serve, ...directories]);
    home.setUp("host", [
      `ip address add ${hostAddress}/24 dev near`,
      "ip link set near up",
      `ip route add default via ${gatewayAddress}`,
    ]);
    return home;
  }

  /** Runs lines of shell in one of the two namespaces: addresses, routes, settings. */
  setUp(side: "host" | "internet", lines: readonly string[]): void {
    const [file, ...args] = this.#inside(side);
    const done = spawnSync(file, [...args, "sh", "-ec", lines.join("\n")], { encoding: "utf8" });
    assert.equal(done.status, 0, done.stderr);
  }

  /** Starts a server of TypeScript in one of them: it says "ready" on its stdout when it is, and ends with its stdin. */
  async serve(side: "host" | "internet", program: string, args: readonly string[]): Promise<void> {
    const [file, ...rest] = this.#inside(side);
    await this.#hold(file, [...rest, process.execPath, program, ...args]);
  }

  /** For files of servers; goes with this home. */
  get outside(): string {
    return this.#outside;
  }

  #inside(side: "host" | "internet"): [string, ...string[]] {
    return ["nsenter", "--net", `--target=${side === "host" ? this.#host : this.#internet}`, "--"];
  }

  /** For all names, of itself; the network of VMs trusts it, as the host of this home would. */
  #makeCertificate(hosts: readonly string[]): void {
    const names = hosts.map((name) => `DNS:${name}`);
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
        ...["-subj", "/CN=sites", "-addext", `subjectAltName=${names.join(",")}`, "-keyout", this.#key],
        ...["-out", this.certificate],
      ],
      { stdio: "pipe", timeout: 60_000 },
    );
    const program = join(root, "dist/netd/banger-netd");
    writeFileSync(this.#netd, `#!/bin/sh\nSSL_CERT_FILE=${this.certificate} exec ${program} "$@"\n`, { mode: 0o755 });
  }

  /** Path of the certificate of all web servers, which is its own authority. */
  get certificate(): string {
    return join(this.#outside, "cert.pem");
  }

  get #key(): string {
    return join(this.#outside, "key.pem");
  }

  get #netd(): string {
    return join(this.#outside, "banger-netd");
  }

  override environment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
    return super.environment({ BANGER_DEBUG_NETD: this.#netd, ...extra });
  }

  protected override command(args: readonly string[]): [string, ...string[]] {
    return [...this.#inside("host"), ...super.command(args)];
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
      rmSync(this.#outside, { recursive: true });
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
}
