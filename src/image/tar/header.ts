// Decodes tar headers: v7, ustar, GNU (long names, base-256 numbers) and pax records. Names are bytes, kept as latin1 text.

/** Something in the archive is not as it must be; the message says what. */
export class TarError extends Error {}

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
  let sum = 8 * 0x20;
  for (let index = 0; index < blockBytes; index++) if (index < 148 || index >= 156) sum += block[index] ?? 0;
  if (sum === 8 * 0x20) return undefined;
  const stated = Number.parseInt(text(block, 148, 8).trim(), 8);
  if (sum !== stated) throw new TarError("a header has a wrong checksum");
  const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    typeFlag: String.fromCharCode(block[156] ?? 0),
    mode: number(block, 100, 8, "mode") & 0o7777,
    uid: number(block, 108, 8, "owner"),
    gid: number(block, 116, 8, "group"),
    sizeBytes: size(number(block, 124, 12, "size")),
    mtime: number(block, 136, 12, "time"),
    major: number(block, 329, 8, "device"),
    minor: number(block, 337, 8, "device"),
  };
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString("latin1", start, end < 0 || end > start + length ? start + length : end);
}

/** Octal text, or base-256 when the first bit is set. */
function number(block: Buffer, start: number, length: number, what: string): number {
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

/** Pax records "<length> <key>=<value>\n". Later ones win. */
export function parsePax(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  for (let at = 0; at < data.length;) {
    if (data[at] === 0) break;
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(data.toString("latin1", at, space));
    const end = at + length;
    const equals = data.indexOf(0x3d, space);
    if (!Number.isSafeInteger(length) || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a) {
      throw new TarError("a pax record is malformed");
    }
    records.set(data.toString("latin1", space + 1, equals), data.subarray(equals + 1, end - 1));
    at = end;
  }
  return records;
}
