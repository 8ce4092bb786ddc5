// Empty qcow2 layers above a frozen disk. Written here and not by qemu-img, whose start alone takes longer than a fork may stand still.
import { randomBytes } from "node:crypto";
import { link, open, rm } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import { asDiskFull } from "../lib/errors.ts";
import { syncDirectory } from "../lib/files.ts";
import { badDisk } from "./failure.ts";
import { encodeHeader, type Backing } from "./qcow2-header.ts";

export interface LayerOptions {
  /** Size that the guest sees; not smaller than that of the backing file. A multiple of 512. */
  sizeBytes: number;
  /** What is read where nothing was written. Not opened here. */
  backing: Backing;
}

const clusterBits = 16;
const clusterBytes = 2 ** clusterBits;
/** Extended entries take 16 bytes, so one cluster of them maps 256 MiB. */
const bytesPerL2 = (clusterBytes / 16) * clusterBytes;
const refcountTableOffset = clusterBytes;
const refcountBlockOffset = 2 * clusterBytes;
const l1Offset = 3 * clusterBytes;

/**
 * Makes an empty layer (0600), whole and on the disk before it has its name. Throws `disk.full`, `snapshot.failed` (also when
 * the file exists already), or the signal's reason.
 */
export async function createLayer(
  path: string,
  options: LayerOptions,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  signal.throwIfAborted();
  const { sizeBytes, backing } = options;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes <= 0 || sizeBytes % 512 !== 0) {
    throw badDisk(path, `${sizeBytes} bytes is no size of a disk`);
  }
  if (!isAbsolute(backing.path)) throw badDisk(path, `the path of its backing file "${backing.path}" is not absolute`);
  const l1Entries = Math.ceil(sizeBytes / bytesPerL2);
  const clusters = 3 + Math.ceil((l1Entries * 8) / clusterBytes);
  const staging = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    const header = encodeHeader(sizeBytes, backing, { clusterBits, l1Entries, l1Offset, refcountTableOffset });
    await using file = await open(staging, "wx", 0o600);
    await file.truncate(clusters * clusterBytes);
    await file.write(header, 0, header.length, 0);
    await file.write(refcountTable(), 0, 8, refcountTableOffset);
    const refcounts = refcountBlock(clusters);
    await file.write(refcounts, 0, refcounts.length, refcountBlockOffset);
    await file.datasync();
    // Not a rename: a layer that is there already may hold what a guest has written.
    await link(staging, path);
  } catch (error) {
    if (error instanceof RangeError) throw badDisk(path, error.message, error);
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw badDisk(path, "it exists already", error);
    throw asDiskFull(error, `no space left to make the disk layer "${path}"`);
  } finally {
    await rm(staging, { force: true });
  }
  await syncDirectory(dirname(path));
}

/** One entry: the only block of reference counts, enough for 2 GiB of the file; qemu adds more. */
function refcountTable(): Buffer {
  const table = Buffer.alloc(8);
  table.writeBigUInt64BE(BigInt(refcountBlockOffset));
  return table;
}

/** Each cluster that is in use has one user. */
function refcountBlock(clusters: number): Buffer {
  const counts = Buffer.alloc(clusters * 2);
  for (let cluster = 0; cluster < clusters; cluster++) counts.writeUInt16BE(1, cluster * 2);
  return counts;
}
