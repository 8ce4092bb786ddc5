// The header of qcow2 files, version 3: written for empty layers, read with every field checked. What it says is believed
// only in the form in which we and qemu-img write it: no external data files, no protocols, nothing to be probed.
import { isAbsolute } from "node:path";

export type DiskFormat = "raw" | "qcow2";

export interface Backing {
  /** Absolute. */
  path: string;
  format: DiskFormat;
}

export interface Qcow2Header {
  sizeBytes: number;
  clusterBits: number;
  backing: Backing | undefined;
}

/** Bytes of the file in which the header, its extensions and the backing file's name must lie. */
export const headerBytes = 65_536;

const magic = 0x514649fb;
const fixedBytes = 104;
const backingFormatExtension = 0xe2792aca;
const maxBackingNameBytes = 1023;
const maxSizeBytes = 64 * 1024 ** 4;
/** A dirty or corrupt image may still be read; extended L2 entries are how we write. */
const knownIncompatible = { dirty: 1, corrupt: 2, extendedL2: 16 };
export const extendedL2 = BigInt(knownIncompatible.extendedL2);

/** Where an empty layer has its tables, in bytes. */
export interface TableLayout {
  clusterBits: number;
  l1Entries: number;
  l1Offset: number;
  refcountTableOffset: number;
}

/** The first bytes of an empty layer. Throws a RangeError for a path that no header can hold. */
export function encodeHeader(sizeBytes: number, backing: Backing, tables: TableLayout): Buffer {
  const name = Buffer.from(backing.path);
  if (!isAbsolute(backing.path) || name.includes(0) || name.length > maxBackingNameBytes) {
    throw new RangeError(`not a path for a qcow2 header: "${backing.path}"`);
  }
  const format = Buffer.from(backing.format);
  const extensionBytes = 8 + Math.ceil(format.length / 8) * 8;
  const nameOffset = fixedBytes + 8 + extensionBytes + 8;
  const header = Buffer.alloc(nameOffset + name.length);
  header.writeUInt32BE(magic, 0);
  header.writeUInt32BE(3, 4);
  header.writeBigUInt64BE(BigInt(nameOffset), 8);
  header.writeUInt32BE(name.length, 16);
  header.writeUInt32BE(tables.clusterBits, 20);
  header.writeBigUInt64BE(BigInt(sizeBytes), 24);
  header.writeUInt32BE(tables.l1Entries, 36);
  header.writeBigUInt64BE(BigInt(tables.l1Offset), 40);
  header.writeBigUInt64BE(BigInt(tables.refcountTableOffset), 48);
  header.writeUInt32BE(1, 56);
  header.writeBigUInt64BE(extendedL2, 72);
  header.writeUInt32BE(4, 96);
  // As qemu writes it: 8 bytes after the fixed part for the compression type (0: zlib) and padding.
  header.writeUInt32BE(fixedBytes + 8, 100);
  header.writeUInt32BE(backingFormatExtension, fixedBytes + 8);
  header.writeUInt32BE(format.length, fixedBytes + 12);
  format.copy(header, fixedBytes + 16);
  name.copy(header, nameOffset);
  return header;
}

/** Reads the first bytes of a qcow2 file. Throws an Error that says what is wrong. */
export function decodeHeader(bytes: Buffer): Qcow2Header {
  if (bytes.length < fixedBytes || bytes.readUInt32BE(0) !== magic) throw new Error("it is not a qcow2 file");
  if (bytes.readUInt32BE(4) !== 3) throw new Error(`it has qcow2 version ${bytes.readUInt32BE(4)}, not 3`);
  const clusterBits = bytes.readUInt32BE(20);
  if (clusterBits < 9 || clusterBits > 21) throw new Error(`it has clusters of 2^${clusterBits} bytes`);
  const size = bytes.readBigUInt64BE(24);
  if (size === 0n || size > BigInt(maxSizeBytes)) throw new Error(`it has a size of ${size} bytes`);
  if (bytes.readUInt32BE(32) !== 0) throw new Error("it is encrypted");
  const incompatible = bytes.readBigUInt64BE(72);
  if ((incompatible & BigInt(knownIncompatible.corrupt)) !== 0n) throw new Error("it is marked as corrupt");
  if ((incompatible & ~BigInt(knownIncompatible.dirty | knownIncompatible.extendedL2)) !== 0n) {
    throw new Error(`it has unknown features (0x${incompatible.toString(16)})`);
  }
  const end = Math.min(bytes.length, 2 ** clusterBits);
  const headerLength = bytes.readUInt32BE(100);
  if (headerLength < fixedBytes || headerLength > end) throw new Error(`its header has ${headerLength} bytes`);
  const name = decodeName(bytes.subarray(0, end));
  if (name === undefined) return { sizeBytes: Number(size), clusterBits, backing: undefined };
  const format = decodeBackingFormat(bytes.subarray(0, end), headerLength);
  if (format !== "raw" && format !== "qcow2") {
    throw new Error(
      format === undefined
        ? "it does not say the format of its backing file"
        : "the format of its backing file is unknown",
    );
  }
  return { sizeBytes: Number(size), clusterBits, backing: { path: name, format } };
}

function decodeName(bytes: Buffer): string | undefined {
  const offset = bytes.readBigUInt64BE(8);
  if (offset === 0n) return undefined;
  const length = bytes.readUInt32BE(16);
  if (length === 0 || length > maxBackingNameBytes || offset + BigInt(length) > BigInt(bytes.length)) {
    throw new Error("the name of its backing file is out of bounds");
  }
  const name = bytes.subarray(Number(offset), Number(offset) + length);
  const path = name.toString("utf8");
  if (!isAbsolute(path) || path.includes("\0") || !Buffer.from(path).equals(name)) {
    throw new Error("the name of its backing file is not an absolute path");
  }
  return path;
}

function decodeBackingFormat(bytes: Buffer, start: number): string | undefined {
  for (let at = start; at + 8 <= bytes.length;) {
    const type = bytes.readUInt32BE(at);
    const length = bytes.readUInt32BE(at + 4);
    if (type === 0) return undefined;
    if (length > bytes.length - at - 8) throw new Error("an extension of its header is out of bounds");
    if (type === backingFormatExtension) return bytes.toString("latin1", at + 8, at + 8 + Math.min(length, 16));
    at += 8 + Math.ceil(length / 8) * 8;
  }
  throw new Error("the extensions of its header have no end");
}
