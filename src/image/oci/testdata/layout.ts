// Makes images for tests: layers, config, manifest, and layouts of them on the disk.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { archive, type TestEntry } from "../../testdata/archive.ts";
import { digestOf } from "../digest.ts";
import { mediaTypes } from "../media-types.ts";
import { saveContent } from "../../../lib/save-content.ts";
import type { Registries } from "../source.ts";
import type { Descriptor, RawManifest, RemoteSource, SaveRequest } from "../../../lib/oci-content.ts";

export interface TestImage {
  manifest: Buffer;
  config: Buffer;
  layers: Buffer[];
  /** Of the manifest. */
  digest: string;
  /** By digest: manifest, config, layers. */
  blobs: Map<string, Buffer>;
}

export interface TestImageOptions {
  /** Plain layers instead of gzip. */
  plain?: boolean;
  /** What the config says of running it. */
  config?: object;
  architecture?: string;
  /** Merged over the manifest. */
  manifest?: object;
}

const hostArchitecture = process.arch === "arm64" ? "arm64" : "amd64";

export function makeImage(layers: readonly (readonly TestEntry[])[], options: TestImageOptions = {}): TestImage {
  const plain = layers.map((entries) => archive(entries));
  const blobs = plain.map((layer) => (options.plain === true ? layer : gzipSync(layer)));
  const config = json({
    os: "linux",
    architecture: options.architecture ?? hostArchitecture,
    config: options.config ?? {},
    rootfs: { type: "layers", diff_ids: plain.map((layer) => digestOf(layer)) },
    history: plain.map((_, index) => ({ created_by: `step ${index + 1}` })),
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: describe(config, mediaTypes.ociConfig),
    layers: blobs.map((layer) =>
      describe(layer, options.plain === true ? mediaTypes.ociLayer : mediaTypes.ociLayerGzip),
    ),
    ...options.manifest,
  });
  const all = [manifest, config, ...blobs];
  return {
    manifest,
    config,
    layers: blobs,
    digest: digestOf(manifest),
    blobs: new Map(all.map((blob) => [digestOf(blob), blob])),
  };
}

/** Writes an image layout with images under names; "" for none. */
export function writeLayoutFiles(
  directory: string,
  images: readonly { image: TestImage; name: string; platform?: object }[],
): void {
  const put = (name: string, content: Buffer | string) => {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), content);
  };
  put("oci-layout", '{"imageLayoutVersion":"1.0.0"}');
  const manifests = images.map(({ image, name, platform }) => ({
    ...describe(image.manifest, mediaTypes.ociManifest),
    ...(platform === undefined ? {} : { platform }),
    ...(name === "" ? {} : { annotations: { "org.opencontainers.image.ref.name": name } }),
  }));
  put("index.json", json({ schemaVersion: 2, manifests }));
  for (const { image } of images) {
    for (const [digest, blob] of image.blobs) put(`blobs/${digest.replace(":", "/")}`, blob);
  }
}

/** A repository in memory. `hold` is awaited before a blob is given; `opened` notes digests and offsets. */
export class MemoryRepository implements RemoteSource {
  readonly tags = new Map<string, RawManifest>();
  readonly blobs = new Map<string, Buffer>();
  readonly opened: { digest: string; offset: number }[] = [];
  hold: (digest: string, signal: AbortSignal) => Promise<void> = async () => {};

  add(tag: string, image: TestImage): void {
    const raw = { bytes: image.manifest, mediaType: mediaTypes.ociManifest, digest: image.digest };
    this.tags.set(tag, raw);
    this.tags.set(image.digest, raw);
    for (const [digest, blob] of image.blobs) this.blobs.set(digest, blob);
  }

  async manifest(reference: string): Promise<RawManifest> {
    const found = this.tags.get(reference);
    if (found === undefined) throw new Error(`no manifest ${reference}`);
    return found;
  }

  async open(
    descriptor: Descriptor,
    { offset = 0, signal }: { offset?: number; signal: AbortSignal },
  ): Promise<Readable> {
    this.opened.push({ digest: descriptor.digest, offset });
    const blob = this.blobs.get(descriptor.digest);
    if (blob === undefined) throw new Error(`no blob ${descriptor.digest}`);
    const hold = () => this.hold(descriptor.digest, signal);
    const pieces = async function* () {
      const half = offset + Math.floor((blob.length - offset) / 2);
      yield blob.subarray(offset, half);
      await hold();
      yield blob.subarray(half);
    };
    return Readable.from(pieces(), { objectMode: false });
  }

  async save(descriptor: Descriptor, request: SaveRequest): Promise<string> {
    const { signal } = request;
    // The chunks are emptied.
    const open = async (offset: number) =>
      (await this.open(descriptor, { offset, signal })).map((chunk: Buffer) => Buffer.from(chunk));
    return await saveContent(open, descriptor, request);
  }
}

export function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

export function describe(content: Buffer, mediaType: string): { mediaType: string; digest: string; size: number } {
  return { mediaType, digest: digestOf(content), size: content.length };
}

/** Registries that have this repository behind every name; of a reference only the tag counts. */
export function registriesOf(repository: MemoryRepository): Registries {
  return {
    normalize: (text) => text,
    open: (text) => ({ source: repository, reference: text.split(":")[1] ?? "", async [Symbol.asyncDispose]() {} }),
  };
}
