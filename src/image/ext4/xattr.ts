// Extended attributes: which of them an image keeps, and the block that holds those of an inode.
import { TarError } from "../tar/header.ts";
import { aclFromText, aclFromXattr } from "./acl.ts";
import { blockBytes } from "./block-output.ts";
import { crc32c, crc32cOfNumber } from "./crc32c.ts";

export type Xattrs = ReadonlyMap<string, Buffer>;

/** What inodes without attributes share. */
export const noXattrs: Xattrs = new Map();

const classes: readonly [string, number][] = [
  ["user.", 1],
  ["trusted.", 4],
  ["security.", 6],
];
const aclClasses: Record<string, number> = { "system.posix_acl_access": 2, "system.posix_acl_default": 3 };
const headerBytes = 32;

/** Whether an image of one block keeps an attribute. Those of overlayfs would change what a mount on top of the image shows. */
function isKept(name: string): boolean {
  if (name.startsWith("trusted.overlay.") || name.startsWith("user.overlay.")) return false;
  return name in aclClasses || classes.some(([prefix]) => name.startsWith(prefix) && name.length > prefix.length);
}

/**
 * Copies of the attributes that an image keeps, in the form that it stores, which can be held on to while the archive is
 * read. `aclTexts` are access control lists as text ("access" and "default"). Throws TarError when they do not fit the one
 * block that an inode has for them.
 */
export function storedXattrs(xattrs: Xattrs, aclTexts: ReadonlyMap<string, string>): Xattrs {
  if (xattrs.size === 0 && aclTexts.size === 0) return noXattrs;
  let bytes = 0;
  const stored = new Map<string, Buffer>();
  const keep = (name: string, value: Buffer | undefined) => {
    if (value === undefined) return;
    bytes += name.length + value.length;
    if (bytes > blockBytes) throw tooLarge();
    stored.set(name, value);
  };
  for (const [kind, text] of aclTexts) keep(`system.posix_acl_${kind}`, aclFromText(text));
  for (const [name, value] of xattrs) {
    if (!isKept(name)) continue;
    keep(name, name in aclClasses ? aclFromXattr(value) : Buffer.from(value));
  }
  if (stored.size === 0) return noXattrs;
  // Says early whether they fit.
  encodeEntries(stored);
  return stored;
}

function tooLarge(): TarError {
  return new TarError(`its extended attributes do not fit one block of ${blockBytes} bytes`);
}

/** The block for some attributes, of which there is at least one. `sealXattrBlock` has to finish it. */
export function xattrBlock(xattrs: Xattrs): Buffer {
  return encodeEntries(xattrs);
}

/** Sets what depends on the block's place and on how many inodes share it. `seed`: what checksums start from. */
export function sealXattrBlock(block: Buffer, number: number, sharers: number, seed: number): void {
  block.writeUInt32LE(sharers, 4);
  block.writeUInt32LE(0, 16);
  block.writeUInt32LE(crc32c(crc32cOfNumber(crc32cOfNumber(seed, number), 0), block), 16);
}

function encodeEntries(xattrs: Xattrs): Buffer {
  const entries = [...xattrs].map(([fullName, value]) => {
    const aclClass = aclClasses[fullName];
    if (aclClass !== undefined) return { index: aclClass, name: Buffer.alloc(0), value };
    const [prefix, index] = classes.find(([text]) => fullName.startsWith(text)) ?? ["", 0];
    return { index, name: Buffer.from(fullName.slice(prefix.length), "latin1"), value };
  });
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
    if (name.length > 255 || entryAt + 16 + paddedName + 4 > valueAt) throw tooLarge();
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
