// Ways from an image in a registry to a disk: banger's, that of the usual tools as root, and the least that any way has to do.
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../src/lib/run.ts";
import type { Client } from "../src/sdk/client.ts";
import type { Banger } from "./banger.ts";
import { costOf, watchProcess, type Cost } from "./cost.ts";
import { startIdleProcess } from "./idle-process.ts";

const mediaType = "application/vnd.oci.image.manifest.v1+json";

/** Unpacked and made a file system, with every fact of every file. */
const tools = `
skopeo copy --quiet --src-tls-verify=false "docker://$1" oci:layout:x
umoci unpack --image layout:x bundle
mke2fs -q -F -t ext4 -d bundle/rootfs disk.ext4 4G
sync disk.ext4`;

/** Fetched, the digest made, unpacked, written in one sequence: without tar, without files. On the disk in the end, as an image is. */
const floor = `
mkfifo digest
for url; do
  openssl sha256 digest >/dev/null & curl -sS --fail "$url" | tee digest | pigz -p1 -dc >>disk.tar; wait $!
done
sync disk.tar`;

/** The longest of a pull, in milliseconds. */
export interface Delays {
  /** A timer of the daemon had to wait. */
  delayMs: number;
  /** The same while the loop was at work, without the time in which its thread could run and no processor was free. */
  blockedMs: number;
  /** A timer of a process that does nothing had to wait meanwhile. */
  idleMs: number;
}

export class ImageSides {
  readonly #banger: Banger;
  readonly #client: Client;
  readonly #dir: string;
  readonly #host: string;

  /** `host`: of a registry. `dir`: an empty directory to work in. */
  constructor(parts: { banger: Banger; client: Client; dir: string; host: string }) {
    this.#banger = parts.banger;
    this.#client = parts.client;
    this.#dir = parts.dir;
    this.#host = parts.host;
  }

  /** The program and its daemon together; the peak is the daemon's. Nothing is cached. */
  async banger(name: string): Promise<Cost & Delays> {
    await this.#prepare();
    const { pid } = await this.#client.call("daemon.status", {});
    await using idle = await startIdleProcess();
    const daemon = watchProcess(pid);
    const { file, args, env } = this.#banger.command("image", "pull", `${this.#host}/${name}`);
    const program = await costOf(file, args, env);
    const { cpuMs, peakMb, writtenMb } = daemon();
    const idleMs = await idle.longestDelayMs();
    await this.#forget(name);
    return {
      wallMs: program.wallMs,
      cpuMs: program.cpuMs + cpuMs,
      peakMb,
      writtenMb: program.writtenMb + writtenMb,
      ...this.#delays(),
      idleMs,
    };
  }

  /** skopeo, umoci and mke2fs; and the megabytes of what the image holds in the end. */
  async tools(name: string): Promise<Cost & { contentMb: number }> {
    return await this.#inDirectory(async (dir) => {
      const cost = await this.#script(dir, tools, `${this.#host}/${name}`);
      const counted = await run({
        file: "du",
        args: ["-s", "--block-size=1", "--apparent-size", `${dir}/bundle/rootfs`],
      });
      return { ...cost, contentMb: Number.parseInt(counted.stdout.toString(), 10) / 1e6 };
    });
  }

  /** Of an image with gzip layers. */
  async floor(name: string): Promise<Cost> {
    const urls = (await this.#layers(name)).map(({ digest }) => this.#url(name, "blobs", digest));
    return await this.#inDirectory(async (dir) => {
      const cost = await this.#script(dir, floor, ...urls);
      if (statSync(join(dir, "disk.tar")).size === 0) throw new Error(`nothing was unpacked of ${name}`);
      return cost;
    });
  }

  /** Megabytes of the layers as they are fetched. */
  async fetchedMb(name: string): Promise<number> {
    return (await this.#layers(name)).reduce((sum, { size }) => sum + size, 0) / 1e6;
  }

  async #layers(name: string): Promise<{ digest: string; size: number }[]> {
    const url = this.#url(name, "manifests", name.slice(name.indexOf(":") + 1));
    const answer = await fetch(url, { headers: { accept: mediaType } });
    if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
    return ((await answer.json()) as { layers: { digest: string; size: number }[] }).layers;
  }

  #url(name: string, kind: string, what: string): string {
    return `http://${this.#host}/v2/${name.slice(0, name.indexOf(":"))}/${kind}/${what}`;
  }

  /** Of the last pull, as the daemon says. */
  #delays(): Omit<Delays, "idleMs"> {
    const lines = readFileSync(this.#banger.paths.daemonLog, "utf8").trimEnd().split("\n");
    const ended = lines.findLast((line) => line.includes('"loopDelayMs"') && line.includes('"image.pull"'));
    if (ended === undefined)
      throw new Error("the daemon has not logged how long its event loop was busy: end it first");
    const { loopDelayMs, loopDelayOwnMs } = JSON.parse(ended) as { loopDelayMs: number; loopDelayOwnMs: number };
    return { delayMs: loopDelayMs, blockedMs: loopDelayOwnMs };
  }

  /** What others have written goes to the disk before, and not meanwhile. */
  async #prepare(): Promise<void> {
    await run({ file: "sync", args: [] });
  }

  async #forget(name: string): Promise<void> {
    await this.#client.call("image.delete", { image: `${this.#host}/${name}` });
    await this.#client.call("image.cache.prune", {});
  }

  async #script(dir: string, script: string, ...args: string[]): Promise<Cost> {
    return await costOf("sh", ["-ec", `cd "$0"; ${script}`, dir, ...args]);
  }

  async #inDirectory<T>(work: (dir: string) => Promise<T>): Promise<T> {
    const dir = join(this.#dir, "image");
    mkdirSync(dir);
    try {
      await this.#prepare();
      return await work(dir);
    } finally {
      await rm(dir, { recursive: true });
    }
  }
}
