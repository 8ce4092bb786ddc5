// Reads an ext4 file in two ways: what describes it in pages that are kept for a while, content in large pieces.
import type { FileHandle } from "node:fs/promises";
import { BangerError } from "../../lib/errors.ts";

const pageBytes = 64 * 1024;
const keptPages = 256;
const pieceBytes = 1024 * 1024;

/** A file system that is not what it should be: `image.invalid`. */
export function damaged(why: string): BangerError {
  return new BangerError("image.invalid", `the file system of the image cannot be read: ${why}`, {
    hint: "e2fsck -fn <file>  # says more of an ext4 file",
  });
}

/** The file stays the caller's. */
export class Disk {
  readonly #file: FileHandle;
  readonly #pages = new Map<number, Buffer>();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Bytes of what describes files: a copy is not made when one page has them all. */
  async read(offset: number, length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let at = offset; at < offset + length;) {
      const page = Math.floor(at / pageBytes);
      const bytes = this.#pages.get(page) ?? (await this.#load(page));
      const from = at - page * pageBytes;
      const part = bytes.subarray(from, Math.min(bytes.length, from + offset + length - at));
      if (part.length === 0) throw damaged(`it ends before byte ${offset + length}`);
      parts.push(part);
      at += part.length;
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }

  /** Pieces of content, each of its own memory. */
  async *content(offset: number, length: number): AsyncGenerator<Buffer> {
    for (let done = 0; done < length;) {
      const piece = Buffer.allocUnsafe(Math.min(pieceBytes, length - done));
      const { bytesRead } = await this.#file.read(piece, 0, piece.length, offset + done);
      if (bytesRead === 0) throw damaged(`it ends before byte ${offset + length}`);
      done += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  }

  async #load(page: number): Promise<Buffer> {
    const bytes = Buffer.alloc(pageBytes);
    const { bytesRead } = await this.#file.read(bytes, 0, pageBytes, page * pageBytes);
    const oldest = this.#pages.keys().next();
    if (this.#pages.size === keptPages && oldest.done !== true) this.#pages.delete(oldest.value);
    const found = bytes.subarray(0, bytesRead);
    this.#pages.set(page, found);
    return found;
  }
}
