// The block that holds an inode's extended attributes.
import { TarError } from "../tar/header.ts";
import { blockBytes } from "./block-output.ts";

const prefixes: readonly [string, number][] = [
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];
const headerBytes = 32;

/**
 * Copies of the attributes that an image keeps, which can be held on to while the archive is read. Throws TarError when they cannot
 * fit the one block that an inode has for them.
 */
export function storedXattrs(xattrs: ReadonlyMap<string, Buffer>, shown: string): ReadonlyMap<string, Buffer> {
  let bytes = 0;
  const stored = new Map<string, Buffer>();
  for (const [name, value] of xattrs) {
    if (!prefixes.some(([text]) => name.startsWith(text))) continue;
    bytes += name.length + value.length;
    if (bytes > blockBytes) throw tooLarge(shown);
    stored.set(name, Buffer.from(value));
  }
  return stored;
}

function tooLarge(shown: string): TarError {
  return new TarError(`the extended attributes of "${shown}" do not fit one block of ${blockBytes} bytes`);
}

/**
 * The attribute block. Attributes of other classes than user, trusted and security are left out (access control
 * lists have their own records in archives). Undefined when nothing is left. Throws TarError when they do not fit.
 */
export function xattrBlock(xattrs: ReadonlyMap<string, Buffer>, shown: string): Buffer | undefined {
  const entries = [...xattrs].flatMap(([fullName, value]) => {
    const prefix = prefixes.find(([text]) => fullName.startsWith(text) && fullName.length > text.length);
    if (prefix === undefined) return [];
    return [{ index: prefix[1], name: Buffer.from(fullName.slice(prefix[0].length), "latin1"), value }];
  });
  if (entries.length === 0) return undefined;
  // The kernel searches by class, then length, then bytes.
  entries.sort((a, b) => a.index - b.index || a.name.length - b.name.length || a.name.compare(b.name));

  const block = Buffer.alloc(blockBytes);
  let entryAt = headerBytes;
  let valueAt = blockBytes;
  let blockHash = 0;
  for (const { index, name, value } of entries) {
    const paddedName = align(name.length);
    valueAt -= align(value.length);
    // Four bytes of zeros end the list.
    if (name.length > 255 || entryAt + 16 + paddedName + 4 > valueAt) {
      throw tooLarge(shown);
    }
    value.copy(block, valueAt);
    const hash = entryHash(name, block.subarray(valueAt, valueAt + align(value.length)));
    block.writeUInt8(name.length, entryAt);
    block.writeUInt8(index, entryAt + 1);
    block.writeUInt16LE(value.length === 0 ? 0 : valueAt, entryAt + 2);
    block.writeUInt32LE(value.length, entryAt + 8);
    block.writeUInt32LE(hash, entryAt + 12);
    name.copy(block, entryAt + 16);
    entryAt += 16 + paddedName;
    blockHash = ((blockHash << 16) ^ (blockHash >>> 16) ^ hash) >>> 0;
  }
  block.writeUInt32LE(0xea020000, 0);
  block.writeUInt32LE(1, 4);
  block.writeUInt32LE(1, 8);
  block.writeUInt32LE(blockHash, 12);
  return block;
}

function entryHash(name: Buffer, paddedValue: Buffer): number {
  let hash = 0;
  for (const byte of name) hash = ((hash << 5) ^ (hash >>> 27) ^ byte) >>> 0;
  for (let at = 0; at < paddedValue.length; at += 4) {
    hash = ((hash << 16) ^ (hash >>> 16) ^ paddedValue.readUInt32LE(at)) >>> 0;
  }
  return hash;
}

function align(length: number): number {
  return Math.ceil(length / 4) * 4;
}
