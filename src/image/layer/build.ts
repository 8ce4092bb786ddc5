// Builds the ext4 file of an image from the tar streams of its layers, in one pass. Runs in a thread of its own: it writes
// synchronously.
import { createHash } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import type { Progress } from "../../lib/progress.ts";
import { Ext4Writer } from "../ext4/writer.ts";
import { ByteReader } from "../tar/byte-reader.ts";
import { decompress } from "../tar/decompress.ts";
import { TarError } from "../tar/header.ts";
import { readTar } from "../tar/reader.ts";
import type { TarEntry } from "../tar/reader.ts";
import { ElfProbe } from "./elf-probe.ts";
import { LayerTree } from "./layer-tree.ts";
import type { LayerRules } from "./layer-tree.ts";
import { LimitCounter } from "./limits.ts";
import type { RootfsLimits } from "./limits.ts";
import { shownPath } from "./path.ts";
import { requireSpace, spaceGuard } from "./space.ts";

/** One tar stream, which may be compressed. */
export interface BuildLayer {
  /** Stands in errors. */
  label: string;
  /** Digest of the plain bytes ("sha256:..." or "sha512:..."), checked when it is given. */
  diffId: string | undefined;
  /** Whoever opens it has no further use for the chunks: they are emptied. */
  open(signal: AbortSignal): Promise<Readable>;
}

export interface BuildOptions {
  layers: readonly BuildLayer[];
  /** Path of the image, which must not exist. */
  target: string;
  /** A single archive is taken as it is: ".wh." names are files, ".." and what a layer's digest would tell are errors. */
  kind: "layers" | "archive";
  /** Bytes that the image will need at least. Default: 0. */
  leastBytes?: number;
  limits: RootfsLimits;
}

export interface Rootfs {
  /** sha256 (hex) of the uncompressed archive; for layers, of what identifies them together (their OCI chain id). */
  tarSha256: string;
  /** Of each layer, in their order. */
  diffIds: string[];
  sizeBytes: number;
  /** Bytes that the file takes on the host. */
  usedBytes: number;
  /** Of the first program in the image; undefined when there is none. */
  architecture: string | undefined;
  /** What was not as it should be and could be mended; at most 20. */
  warnings: string[];
}

const maxWarnings = 20;

/** The file is on the disk when this returns; the caller removes it when it throws. */
export async function buildRootfs(options: BuildOptions, progress: Progress): Promise<Rootfs> {
  const { layers, limits, target } = options;
  if (layers.length > limits.maxLayers) {
    throw new BangerError(
      "image.invalid",
      `the image has ${layers.length} layers, and ${limits.maxLayers} are possible`,
    );
  }
  requireSpace(dirname(target), options.leastBytes ?? 0);
  const descriptor = openSync(target, "wx+", 0o600);
  try {
    return await new Build(options, descriptor, progress).run();
  } finally {
    closeSync(descriptor);
  }
}

class Build {
  readonly #options: BuildOptions;
  readonly #descriptor: number;
  readonly #progress: Progress;
  readonly #writer: Ext4Writer;
  readonly #tree: LayerTree;
  readonly #counter: LimitCounter;
  readonly #probe = new ElfProbe();
  readonly #warnings: string[] = [];
  readonly #diffIds: string[] = [];
  /** Where it is, for errors. */
  #layer: BuildLayer | undefined;
  #entry: TarEntry | undefined;

  constructor(options: BuildOptions, descriptor: number, progress: Progress) {
    this.#options = options;
    this.#descriptor = descriptor;
    this.#progress = progress;
    this.#counter = new LimitCounter(options.limits);
    const guard = spaceGuard(dirname(options.target));
    this.#writer = new Ext4Writer(descriptor, (bytes) => {
      // Later it writes what it was told to already.
      if (this.#layer !== undefined) this.#counter.addWritten(bytes);
      guard(bytes);
    });
    const isArchive = options.kind === "archive";
    const { maxDepth } = options.limits;
    const { data } = this.#writer;
    const rules: LayerRules = { whiteouts: !isArchive, upwards: isArchive ? "refuse" : "clamp", maxDepth };
    const warn = (message: string) => {
      if (this.#warnings.length < maxWarnings) this.#warnings.push(`${this.#place()}: ${message}`);
    };
    this.#tree = new LayerTree(rules, warn, (extents) => data.reclaim(extents));
  }

  async run(): Promise<Rootfs> {
    const { signal } = this.#progress;
    try {
      const { kind, layers } = this.#options;
      for (const [index, layer] of layers.entries()) {
        signal.throwIfAborted();
        if (kind === "layers") this.#progress.stage("unpack", `layer ${index + 1} of ${layers.length}`);
        this.#layer = layer;
        await this.#readLayer(layer);
      }
      this.#layer = undefined;
      signal.throwIfAborted();
      this.#progress.stage("ext4", `${this.#counter.entries} files`);
      const chain = chainId(this.#diffIds);
      const uuid = createHash("sha256").update(`uuid ${chain}`).digest().subarray(0, 16);
      const sizeBytes = this.#writer.finish(this.#tree.root, uuid);
      signal.throwIfAborted();
      fsyncSync(this.#descriptor);
      return {
        tarSha256: chain,
        diffIds: this.#diffIds,
        sizeBytes,
        usedBytes: fstatSync(this.#descriptor).blocks * 512,
        architecture: this.#probe.architecture,
        warnings: this.#warnings,
      };
    } catch (error) {
      signal.throwIfAborted();
      throw this.#explain(error);
    }
  }

  async #readLayer(layer: BuildLayer): Promise<void> {
    const { signal } = this.#progress;
    const isArchive = this.#options.kind === "archive";
    const [algorithm, wanted] = splitDigest(layer.diffId);
    const source = await layer.open(signal);
    // Whoever reads the stream gets its error; without a reader there is nobody to tell.
    source.on("error", () => {});
    const stop = () => source.destroy(signal.reason as Error);
    signal.addEventListener("abort", stop, { once: true });
    try {
      const plain = decompress(source, { allowXz: isArchive, signal, discards: true });
      const onChunk = (bytes: number) => {
        signal.throwIfAborted();
        this.#counter.addUnpacked(bytes);
      };
      const reader = new ByteReader(plain, { algorithm, onChunk, discards: true });
      this.#tree.beginLayer();
      const before = this.#counter.entries;
      for await (const entry of readTar(reader, { mayEndEarly: !isArchive })) {
        this.#entry = entry;
        await this.#apply(entry);
        this.#entry = undefined;
      }
      if (isArchive && this.#counter.entries === before) throw new TarError("it is empty");
      const digest = await reader.finish();
      if (wanted !== undefined && digest !== wanted) {
        throw new TarError(
          `its content has the digest ${algorithm}:${digest}, and ${algorithm}:${wanted} was expected`,
        );
      }
      this.#diffIds.push(`${algorithm}:${digest}`);
    } finally {
      signal.removeEventListener("abort", stop);
      source.destroy();
    }
  }

  async #apply(entry: TarEntry): Promise<void> {
    this.#counter.addEntry(entry, this.#tree.impliedDirectories);
    await this.#tree.apply(entry, async () => {
      const { data } = this.#writer;
      if (entry.sizeBytes === 0 || entry.type !== "file") return [];
      data.begin(entry.storedBytes);
      await entry.read(this.#probe.watch(entry, data));
      return data.end();
    });
  }

  #place(blamed?: string): string {
    const layer = this.#layer === undefined ? "the image" : `layer ${shownLabel(this.#layer.label)}`;
    const where = this.#options.kind === "archive" ? shownLabel(this.#layer?.label ?? "") : layer;
    const path = blamed ?? this.#entry?.path;
    return path === undefined ? where : `${where}, entry ${shownPath(path)}`;
  }

  #explain(error: unknown): unknown {
    if (error instanceof BangerError || !(error instanceof Error)) return error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOSPC" || code === "EDQUOT") return toBangerError(error);
    const isZlib = code?.startsWith("Z_") === true || code?.startsWith("ZSTD_") === true;
    if (!isZlib && !(error instanceof TarError)) return error;
    const blamed = error instanceof TarError ? error.entry : undefined;
    const why = isZlib ? `its compression is damaged (${error.message})` : error.message;
    const what = this.#options.kind === "archive" ? "no usable root file system archive" : "not usable";
    return new BangerError("image.invalid", `${this.#place(blamed)} is ${what}: ${why}`, { cause: error });
  }
}

function shownLabel(label: string): string {
  return JSON.stringify(label);
}

function splitDigest(diffId: string | undefined): ["sha256" | "sha512", string | undefined] {
  if (diffId === undefined) return ["sha256", undefined];
  const match = /^(?:sha256:([0-9a-f]{64})|sha512:([0-9a-f]{128}))$/.exec(diffId);
  if (match === null) throw new TarError(`its digest ${shownPath(diffId)} is of an unknown kind`);
  return match[1] === undefined ? ["sha512", match[2]] : ["sha256", match[1]];
}

/** What identifies layers together, as OCI defines it; hex. */
function chainId(diffIds: readonly string[]): string {
  const [first = "sha256:none", ...others] = diffIds;
  const chain = others.reduce(
    (below, diffId) => `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`,
    first,
  );
  return chain.slice(chain.indexOf(":") + 1);
}
