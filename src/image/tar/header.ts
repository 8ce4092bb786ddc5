// Decodes tar headers: v7, ustar, GNU (long names, base-256 numbers). Names are bytes, kept as latin1 text.

/** Something in the archive is not as it must be; the message says what. */
export class TarError extends Error {
  /** Path of the entry that it is about, where the reader was the one who knew. */
  entry: string | undefined;
}

export interface RawHeader {
  name: string;
  linkName: string;
  typeFlag: string;
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  mtime: number;
  major: number;
  minor: number;
}

export const blockBytes = 512;

/** A header block; undefined for a block of zeros. Throws TarError when its checksum is wrong. */
export function parseHeader(block: Buffer): RawHeader | undefined {
  const sums = checksums(block);
  if (sums.unsigned === 8 * 0x20) return undefined;
  const stated = Number.parseInt(text(block, 148, 8).trim(), 8);
  if (sums.unsigned !== stated && sums.signed !== stated) throw new TarError("a header has a wrong checksum");
  const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    typeFlag: String.fromCharCode(block[156] ?? 0),
    mode: octalOrBinary(block, 100, 8, "mode") & 0o7777,
    uid: octalOrBinary(block, 108, 8, "owner"),
    gid: octalOrBinary(block, 116, 8, "group"),
    sizeBytes: size(octalOrBinary(block, 124, 12, "size")),
    mtime: octalOrBinary(block, 136, 12, "time"),
    major: octalOrBinary(block, 329, 8, "device"),
    minor: octalOrBinary(block, 337, 8, "device"),
  };
}

/** Whether a block could be a header, or the end mark. */
export function looksLikeHeader(block: Buffer): boolean {
  const sums = checksums(block);
  const stated = Number.parseInt(text(block, 148, 8).trim(), 8);
  return sums.unsigned === 8 * 0x20 || sums.unsigned === stated || sums.signed === stated;
}

/** The sum of a header's bytes; some old programs took them as signed. */
function checksums(block: Buffer): { unsigned: number; signed: number } {
  let unsigned = 8 * 0x20;
  let above127 = 0;
  for (let index = 0; index < blockBytes; index++) {
    if (index >= 148 && index < 156) continue;
    const byte = block[index] ?? 0;
    unsigned += byte;
    above127 += byte >> 7;
  }
  return { unsigned, signed: unsigned - 256 * above127 };
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString("latin1", start, end < 0 || end > start + length ? start + length : end);
}

/** A number as octal text, or as base-256 when the first bit is set. `what` is for the error. */
export function octalOrBinary(block: Buffer, start: number, length: number, what: string): number {
  const first = block[start] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = BigInt.asIntN(7, BigInt(first));
    for (let index = start + 1; index < start + length; index++) value = (value << 8n) | BigInt(block[index] ?? 0);
    if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
      throw new TarError(`a header's ${what} is out of range`);
    }
    return Number(value);
  }
  const digits = text(block, start, length).trim();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw new TarError(`a header's ${what} is no number`);
  return Number.parseInt(digits, 8);
}

function size(value: number): number {
  if (value < 0) throw new TarError("an entry has a negative size");
  return value;
}
