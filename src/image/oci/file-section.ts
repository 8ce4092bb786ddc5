// Part of a file that several read at once: by position, so that the open file stays its owner's.
import type { FileHandle } from "node:fs/promises";
import { Readable } from "node:stream";

const pieceBytes = 1024 * 1024;

/** `length` bytes from `offset` on, or fewer when the file ends before. The stream never closes the file. */
export function section(file: FileHandle, offset: number, length: number): Readable {
  return Readable.from(pieces(file, offset, length), { objectMode: false, highWaterMark: pieceBytes });
}

/** The same, piece by piece. */
export async function* pieces(file: FileHandle, offset: number, length: number): AsyncGenerator<Buffer> {
  for (let at = offset; at < offset + length;) {
    const piece = Buffer.allocUnsafe(Math.min(pieceBytes, offset + length - at));
    const { bytesRead } = await file.read(piece, 0, piece.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield piece.subarray(0, bytesRead);
  }
}
