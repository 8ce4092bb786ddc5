// An image that was made of a file system, as an image of one layer: the layer is read out of the ext4 file.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { Readable } from "node:stream";
import type { ImageRecord } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import type { Descriptor } from "../lib/oci-content.ts";
import type { Progress } from "../lib/progress.ts";
import { type Ext4Entry, walkExt4 } from "./ext4-read/walk.ts";
import { digestOf } from "./oci/digest.ts";
import { mediaTypes } from "./oci/media-types.ts";
import { padding, tarEntryHeader, type TarFields } from "./oci/tar-header.ts";

export interface OneLayerImage {
  manifest: Buffer;
  config: Buffer;
  layer: Descriptor;
  /** The layer, written anew; it has the same bytes each time. */
  open(): Readable;
}

const maxBytes = 64 * 1024 ** 3;
const leastPieceBytes = 256 * 1024;
const typeFlags: Readonly<Record<Exclude<Ext4Entry["type"], "socket">, TarFields["typeFlag"]>> = {
  ...{ file: "0", symlink: "2", character: "3", block: "4", directory: "5", fifo: "6" },
};

/**
 * Reads the file system once for the digest of the layer. The same image gives the same documents. Sockets are left out. Throws
 * `image.invalid` for what is no sound ext4, or is larger than 64 GiB as a tar.
 */
export async function oneLayerImage(record: ImageRecord, { signal, bytes }: Progress): Promise<OneLayerImage> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const piece of layerOf(record.rootfsPath, signal)) {
    hash.update(piece);
    sizeBytes += piece.length;
    if (sizeBytes > maxBytes) throw tooLarge(record.name);
    bytes(sizeBytes, null);
  }
  const layer = { mediaType: mediaTypes.ociLayer, digest: `sha256:${hash.digest("hex")}`, sizeBytes };
  const { environment, user, workdir, entrypoint, command, exposedPorts, volumes, stopSignal, labels } = record.config;
  const keys = (names: readonly string[]) => Object.fromEntries(names.map((name) => [name, {}]));
  const created = new Date(record.createdAt).toISOString();
  const config = json({
    created,
    architecture: record.architecture,
    os: "linux",
    config: {
      User: user,
      Env: environment,
      WorkingDir: workdir,
      ...(entrypoint.length > 0 ? { Entrypoint: entrypoint } : {}),
      ...(command.length > 0 ? { Cmd: command } : {}),
      ...(exposedPorts.length > 0 ? { ExposedPorts: keys(exposedPorts) } : {}),
      ...(volumes.length > 0 ? { Volumes: keys(volumes) } : {}),
      ...(stopSignal === "" ? {} : { StopSignal: stopSignal }),
      ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}),
    },
    rootfs: { type: "layers", diff_ids: [layer.digest] },
    history: [{ created, created_by: `banger image export of ${record.source}` }],
  });
  const describe = ({ mediaType, digest, sizeBytes: size }: Descriptor) => ({ mediaType, digest, size });
  const manifest = json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: describe({ mediaType: mediaTypes.ociConfig, digest: digestOf(config), sizeBytes: config.length }),
    layers: [describe(layer)],
  });
  return {
    manifest,
    config,
    layer,
    open: () => Readable.from(layerOf(record.rootfsPath, signal), { objectMode: false }),
  };
}

async function* layerOf(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  await using file = await open(path, "r").catch((error: unknown) => {
    throw new BangerError("image.invalid", `the file of the image, "${path}", cannot be read`, { cause: error });
  });
  yield* joined(entriesOf(walkExt4(file, signal), signal));
}

async function* entriesOf(walk: AsyncIterable<Ext4Entry>, signal: AbortSignal): AsyncGenerator<Buffer> {
  for await (const entry of walk) {
    if (entry.type === "socket") continue;
    yield tarEntryHeader(fieldsOf(entry, typeFlags[entry.type]));
    if (entry.type !== "file" || entry.linkTo !== undefined) continue;
    for await (const piece of entry.content()) {
      signal.throwIfAborted();
      yield piece;
    }
    if (entry.sizeBytes % 512 !== 0) yield padding(entry.sizeBytes);
  }
  yield Buffer.alloc(1024);
}

/** Small pieces together: each would be a write of its own. */
async function* joined(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    waiting.push(piece);
    bytes += piece.length;
    if (bytes < leastPieceBytes) continue;
    yield waiting.length === 1 ? piece : Buffer.concat(waiting);
    waiting = [];
    bytes = 0;
  }
  yield Buffer.concat(waiting);
}

function fieldsOf(entry: Ext4Entry, typeFlag: TarFields["typeFlag"]): TarFields {
  const isLink = entry.linkTo !== undefined;
  return {
    ...entry,
    path: entry.type === "directory" ? `${entry.path === "" ? "." : entry.path}/` : entry.path,
    typeFlag: isLink ? "1" : typeFlag,
    linkPath: entry.linkTo ?? entry.target,
    sizeBytes: entry.type === "file" && !isLink ? entry.sizeBytes : 0,
    xattrs: isLink ? new Map() : entry.xattrs,
  };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function tooLarge(name: string): BangerError {
  return new BangerError(
    "image.invalid",
    `image "${name}" is larger than ${maxBytes / 1024 ** 3} GiB as a tar, where files with holes have their full size`,
  );
}
