// From a root file system archive to an ext4 file, in one pass over the archive.
import { createHash } from "node:crypto";
import { open, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import { BangerError, toBangerError } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import { Ext4Writer } from "./ext4/writer.ts";
import { ByteReader } from "./tar/byte-reader.ts";
import { openArchive } from "./tar/decompress.ts";
import { TarError } from "./tar/header.ts";
import { readTar, type TarEntry } from "./tar/reader.ts";
import { addEntry, newDirectory } from "./tree.ts";

export interface RootfsLimits {
  /** Entries, and directories that no entry names but paths go through. */
  maxEntries: number;
  /** Bytes of names, targets of links and extended attributes: all of them are in memory until the archive was read. */
  maxMetadataBytes: number;
  /** Bytes of file contents, unpacked. */
  maxContentBytes: number;
}

export const defaultLimits: RootfsLimits = {
  maxEntries: 2_000_000,
  maxMetadataBytes: 512 * 1024 ** 2,
  maxContentBytes: 64 * 1024 ** 3,
};

export interface Rootfs {
  /** sha256 (hex) of the uncompressed archive. */
  tarSha256: string;
  sizeBytes: number;
  /** Bytes that the file takes on the host. */
  usedBytes: number;
  /** Of the first program in the archive; undefined when there is none. */
  architecture: string | undefined;
}

/**
 * Writes the ext4 file `target`, which must not exist, from an archive file (plain, gzip, zstd, xz) or a stream of plain
 * tar bytes. The file is on the disk when this returns; the caller removes it when it throws. `image.invalid` says what is
 * wrong with the archive.
 */
export async function rootfsFromTar(
  source: string | Readable,
  target: string,
  progress: Progress,
  limits: RootfsLimits = defaultLimits,
): Promise<Rootfs> {
  const { signal } = progress;
  const stream = typeof source === "string" ? await openArchive(source, progress) : source;
  // Whoever reads the stream gets its error; without a reader there is nobody to tell.
  stream.on("error", () => {});
  const stop = () => stream.destroy(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  try {
    await using file = await open(target, "wx+", 0o600);
    const reader = new ByteReader(stream);
    const writer = new Ext4Writer(file);
    const root = newDirectory();
    let entries = 0;
    let implied = 0;
    let metadataBytes = 0;
    let contentBytes = 0;
    let architecture: string | undefined;
    for await (const entry of readTar(reader)) {
      signal.throwIfAborted();
      entries++;
      metadataBytes += metadataOf(entry);
      if (metadataBytes > limits.maxMetadataBytes) {
        throw new TarError(`its names and attributes are larger than ${limits.maxMetadataBytes} bytes together`);
      }
      if (entries + implied > limits.maxEntries) throw new TarError(`it has more than ${limits.maxEntries} entries`);
      if (entry.type === "file") contentBytes += entry.sizeBytes;
      if (contentBytes > limits.maxContentBytes) {
        throw new TarError(`its files are larger than ${limits.maxContentBytes} bytes together`);
      }
      let data = { firstBlock: 0, blocks: 0 };
      if (entry.type === "file" && entry.sizeBytes > 0) {
        const wanted = architecture === undefined && (entry.mode & 0o111) !== 0;
        const content = wanted ? peek(entry.content(), (head) => (architecture = elfMachine(head))) : entry.content();
        data = await writer.writeData(content);
      }
      implied += addEntry(root, entry, data);
    }
    if (entries === 0) throw new TarError("it is empty");
    const tarSha256 = await reader.finish();
    progress.stage("ext4", `${entries} files`);
    const uuid = createHash("sha256").update(`uuid ${tarSha256}`).digest().subarray(0, 16);
    const sizeBytes = await writer.finish(root, uuid);
    signal.throwIfAborted();
    await file.sync();
    const { blocks } = await stat(target);
    return { tarSha256, sizeBytes, usedBytes: blocks * 512, architecture };
  } catch (error) {
    signal.throwIfAborted();
    throw explain(error, typeof source === "string" ? source : "the archive");
  } finally {
    signal.removeEventListener("abort", stop);
    stream.destroy();
  }
}

function metadataOf({ path, linkPath, xattrs }: TarEntry): number {
  let bytes = path.length + linkPath.length;
  for (const [name, value] of xattrs) bytes += name.length + value.length;
  return bytes;
}

async function* peek(content: AsyncIterable<Buffer>, first: (head: Buffer) => void): AsyncGenerator<Buffer> {
  let isFirst = true;
  for await (const piece of content) {
    if (isFirst) first(piece);
    isFirst = false;
    yield piece;
  }
}

function elfMachine(head: Buffer): string | undefined {
  if (head.length < 20 || head.readUInt32BE(0) !== 0x7f454c46) return undefined;
  const names: Record<number, string> = { 62: "amd64", 183: "arm64", 3: "i386", 40: "arm", 243: "riscv64" };
  return names[head.readUInt16LE(18)];
}

function explain(error: unknown, shown: string): unknown {
  if (error instanceof BangerError || !(error instanceof Error)) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") return toBangerError(error);
  const isZlib = code?.startsWith("Z_") === true || code?.startsWith("ZSTD_") === true;
  if (!isZlib && !(error instanceof TarError)) return error;
  const why = isZlib ? `its compression is damaged (${error.message})` : error.message;
  return new BangerError("image.invalid", `"${shown}" is no usable root file system archive: ${why}`, { cause: error });
}
