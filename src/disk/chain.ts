// Which files a disk consists of: the layer on top, what it is above, and so on down to a whole disk. Read by us, bounded.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { badDisk } from "./failure.ts";
import { decodeHeader, headerBytes, type Backing, type DiskFormat } from "./qcow2-header.ts";

export interface Layer {
  path: string;
  format: DiskFormat;
  /** Size that the guest sees. */
  sizeBytes: number;
  backing: Backing | undefined;
}

const maxDepth = 256;

/** All layers of a disk, top first. Throws `snapshot.failed` for a file that is missing, garbage, or below itself. */
export async function readChain(path: string, format: DiskFormat): Promise<Layer[]> {
  const layers: Layer[] = [];
  const seen = new Set<string>();
  for (let next: Backing | undefined = { path, format }; next !== undefined; next = layers.at(-1)?.backing) {
    if (layers.length === maxDepth) throw badDisk(path, `it has more than ${maxDepth} layers`);
    const { identity, ...layer } = await readLayer(next.path, next.format);
    if (seen.has(identity)) throw badDisk(path, `"${next.path}" is a layer below itself`);
    seen.add(identity);
    layers.push(layer);
  }
  return layers;
}

/** Bytes that a guest sees. Throws as `readChain` does; looks at this file only. */
export async function virtualSize(path: string, format: DiskFormat): Promise<number> {
  return (await readLayer(path, format)).sizeBytes;
}

async function readLayer(path: string, format: DiskFormat): Promise<Layer & { identity: string }> {
  try {
    // A pipe would keep an open waiting for its other end.
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const info = await file.stat({ bigint: true });
    if (!info.isFile()) throw new Error("it is not a regular file");
    const layer = { path, format, identity: `${info.dev}:${info.ino}` };
    if (format === "raw") return { ...layer, sizeBytes: Number(info.size), backing: undefined };
    const bytes = Buffer.alloc(headerBytes);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const { sizeBytes, backing } = decodeHeader(bytes.subarray(0, bytesRead));
    return { ...layer, sizeBytes, backing };
  } catch (error) {
    throw badDisk(
      path,
      (error as NodeJS.ErrnoException).code === "ENOENT" ? "it is missing" : (error as Error).message,
      error,
    );
  }
}
