// The files of an image layout, by relative name: below a directory, or in a tar file. No name leads out of it.
import { constants } from "node:fs";
import { type FileHandle, open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { PassThrough, type Readable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import type { FileSection } from "../layer/blob-file.ts";
import { invalid, printable } from "./manifest.ts";

export interface FileTree extends AsyncDisposable {
  /** For messages. */
  shown: string;
  has(name: string): Promise<boolean>;
  /** Size in bytes. Throws `image.not-found` when there is no such file. */
  size(name: string): Promise<number>;
  /** Content from `offset` (default 0), and at most `length` bytes of it. */
  open(name: string, options?: { offset?: number; length?: number }): Promise<Readable>;
  /** Where it lies, in a file that is open until this or the tree is disposed. */
  section(name: string): Promise<FileSection>;
}

/** A whole file of at most `limit` bytes; a larger one is `image.invalid`. */
export async function readWhole(tree: FileTree, name: string, limit: number): Promise<Buffer> {
  const sizeBytes = await tree.size(name);
  if (sizeBytes > limit) throw invalid(`"${printable(name)}" in "${tree.shown}" is larger than ${limit} bytes`);
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of (await tree.open(name, { length: limit + 1 })) as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > limit) throw invalid(`"${printable(name)}" in "${tree.shown}" is larger than ${limit} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** The error for a file that is not there. */
export function missing(tree: Pick<FileTree, "shown">, name: string): BangerError {
  return new BangerError("image.not-found", `"${tree.shown}" has no file "${printable(name)}"`);
}

/** A directory of the host. Symbolic links in it are followed as long as they stay in it. */
export async function openDirectoryTree(path: string): Promise<FileTree> {
  const root = await realpath(path);
  const openFile = async (name: string): Promise<{ file: FileHandle; sizeBytes: number }> => {
    let real: string;
    try {
      real = await realpath(join(root, name));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR") throw missing({ shown: path }, name);
      throw error;
    }
    if (!real.startsWith(root === sep ? sep : root + sep)) {
      throw invalid(`"${printable(name)}" in "${path}" is a link to a place outside of it`);
    }
    // Without O_NONBLOCK, opening a named pipe waits for its writer.
    const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const info = await file.stat();
      if (!info.isFile()) throw invalid(`"${printable(name)}" in "${path}" is not a regular file`);
      return { file, sizeBytes: info.size };
    } catch (error) {
      await file.close();
      throw error;
    }
  };
  const tree: FileTree = {
    shown: path,
    async has(name) {
      try {
        await tree.size(name);
        return true;
      } catch (error) {
        if (error instanceof BangerError && error.code === "image.not-found") return false;
        throw error;
      }
    },
    async size(name) {
      const { file, sizeBytes } = await openFile(name);
      await file.close();
      return sizeBytes;
    },
    async open(name, { offset = 0, length = Number.POSITIVE_INFINITY } = {}) {
      const { file, sizeBytes } = await openFile(name);
      const bytes = Math.max(0, Math.min(length, sizeBytes - offset));
      if (bytes > 0)
        return file.createReadStream({ start: offset, end: offset + bytes - 1, highWaterMark: 1024 * 1024 });
      await file.close();
      return new PassThrough().end();
    },
    async section(name) {
      const { file, sizeBytes } = await openFile(name);
      return { fd: file.fd, offset: 0, sizeBytes, [Symbol.asyncDispose]: () => file.close() };
    },
    async [Symbol.asyncDispose]() {},
  };
  return tree;
}
