// Writes an OCI image layout: a directory, or a tar of one. It appears whole, at the place that was asked for, or not at all.
import { type FileHandle, mkdir, open, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import { publish, syncDirectory, writeFileAtomic } from "../../lib/files.ts";
import { splitDigest } from "./digest.ts";
import { tarHeader } from "./tar-header.ts";

interface LayoutFile {
  name: string;
  sizeBytes: number;
  /** Exactly `sizeBytes` bytes. */
  content: Buffer | (() => Promise<Readable>);
}

export interface LayoutOutput {
  path: string;
  /** In the same directory; must not exist. */
  staging: string;
  format: "directory" | "tar";
  /** Told after each piece. */
  onBytes(done: number): void;
  signal: AbortSignal;
}

/** Name of a blob's file in a layout. */
export function blobFile(digest: string): string {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

/** Throws `file.failed` when something is at the place, or its directory is not there. To be asked before expensive work. */
export async function checkTarget(path: string): Promise<void> {
  if ((await stat(path).catch(() => undefined)) !== undefined) {
    throw new BangerError("file.failed", `"${path}" exists already`, {
      hint: `rm -r ${path}  # or choose another name`,
    });
  }
  const parent = dirname(path);
  if ((await stat(parent).catch(() => undefined))?.isDirectory() === true) return;
  throw new BangerError("file.failed", `"${path}" cannot be written: there is no directory "${parent}"`, {
    hint: `mkdir -p ${parent}`,
  });
}

/** The target must not exist: `file.failed`. */
export async function writeLayout(files: readonly LayoutFile[], output: LayoutOutput): Promise<void> {
  const { path, staging, format } = output;
  await checkTarget(path);
  try {
    if (format === "tar") await writeTar(files, staging, output);
    else await writeDirectory(files, staging, output);
    await publish(staging, path);
  } catch (error) {
    await rm(staging, { recursive: true, force: true });
    output.signal.throwIfAborted();
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "EACCES" || code === "EROFS") {
      throw new BangerError("file.failed", `"${path}" cannot be written: ${(error as Error).message}`, {
        cause: error,
      });
    }
    throw error;
  }
}

async function writeDirectory(files: readonly LayoutFile[], root: string, output: LayoutOutput): Promise<void> {
  await mkdir(root);
  const total = { bytes: 0 };
  for (const { name, sizeBytes, content } of files) {
    const path = join(root, name);
    await mkdir(dirname(path), { recursive: true });
    if (Buffer.isBuffer(content)) await writeFileAtomic(path, content, 0o644);
    else {
      await using file = await open(path, "wx", 0o644);
      await copyTo(file, await content(), sizeBytes, total, output);
      await file.sync();
    }
  }
  await syncDirectory(root);
}

async function writeTar(files: readonly LayoutFile[], path: string, output: LayoutOutput): Promise<void> {
  await using file = await open(path, "wx", 0o644);
  const total = { bytes: 0 };
  for (const { name, sizeBytes, content } of files) {
    await file.write(tarHeader(name, sizeBytes));
    if (Buffer.isBuffer(content)) await file.write(content);
    else await copyTo(file, await content(), sizeBytes, total, output);
    await file.write(Buffer.alloc((512 - (sizeBytes % 512)) % 512));
  }
  await file.write(Buffer.alloc(1024));
  await file.sync();
}

async function copyTo(
  file: FileHandle,
  content: Readable,
  sizeBytes: number,
  total: { bytes: number },
  { onBytes, signal }: LayoutOutput,
): Promise<void> {
  let done = 0;
  for await (const piece of content as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    for (let at = 0; at < piece.length;) at += (await file.write(piece, at)).bytesWritten;
    done += piece.length;
    total.bytes += piece.length;
    onBytes(total.bytes);
  }
  if (done !== sizeBytes) throw new Error(`a blob has ${done} bytes instead of ${sizeBytes}`);
}
