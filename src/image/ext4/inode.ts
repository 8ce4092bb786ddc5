// One inode as the 256 bytes that the inode table holds.
import type { TreeNode } from "../tree.ts";
import { crc32c } from "./crc32c.ts";

export const inodeBytes = 256;

export interface InodePlace {
  sizeBytes: number;
  links: number;
  /** All blocks that belong to it: data, extent blocks, attributes. */
  blocks: number;
  /** The 60 bytes of extents, of a short link's target, or of a device's numbers. */
  area: Buffer;
  usesExtents: boolean;
  /** Whether it is a directory with a hashed index. */
  isIndexed: boolean;
  /** Block of its extended attributes; 0 when it has none. */
  xattrBlock: number;
}

const typeBits = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  character: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
} as const;
const indexFlag = 0x1000;
const extentsFlag = 0x80000;
const extraBytes = 32;

/** Fills `inode`, 256 bytes of zeros. `seed` is what the checksums of this inode start from. */
export function encodeInode(inode: Buffer, node: TreeNode, place: InodePlace, seed: number): void {
  const seconds = clampTime(node.mtimeSeconds);
  const lowSeconds = Number(BigInt.asUintN(32, BigInt(seconds)));
  // Bits 0-1 extend the signed 32-bit seconds beyond 2038, the others are nanoseconds.
  const epoch = Number((BigInt(seconds) - BigInt.asIntN(32, BigInt(seconds))) >> 32n) & 3;
  const extra = node.mtimeNanoseconds * 4 + epoch;
  inode.writeUInt16LE(typeBits[node.type] | node.mode, 0);
  inode.writeUInt16LE(node.uid & 0xffff, 2);
  inode.writeUInt32LE(place.sizeBytes % 2 ** 32, 4);
  for (const at of [8, 12, 16]) inode.writeUInt32LE(lowSeconds, at);
  inode.writeUInt16LE(node.gid & 0xffff, 24);
  inode.writeUInt16LE(place.links, 26);
  inode.writeUInt32LE(place.blocks * 8, 28);
  inode.writeUInt32LE((place.usesExtents ? extentsFlag : 0) | (place.isIndexed ? indexFlag : 0), 32);
  place.area.copy(inode, 40);
  inode.writeUInt32LE(place.xattrBlock, 104);
  inode.writeUInt32LE(Math.floor(place.sizeBytes / 2 ** 32), 108);
  inode.writeUInt16LE(node.uid >>> 16, 120);
  inode.writeUInt16LE(node.gid >>> 16, 122);
  inode.writeUInt16LE(extraBytes, 128);
  for (const at of [132, 136, 140, 148]) inode.writeUInt32LE(extra, at);
  inode.writeUInt32LE(lowSeconds, 144);
  seal(inode, seed);
}

/** Fills `inode`, 256 bytes of zeros, for a number that is reserved and has no file. */
export function encodeReserved(inode: Buffer, seed: number): void {
  inode.writeUInt16LE(extraBytes, 128);
  seal(inode, seed);
}

/** Sets the checksum, whose own two halves count as zeros. */
function seal(inode: Buffer, seed: number): void {
  const sum = crc32c(seed, inode);
  inode.writeUInt16LE(sum & 0xffff, 124);
  inode.writeUInt16LE(sum >>> 16, 130);
}

/** ext4 keeps times from 1901 to 2446. */
function clampTime(seconds: number): number {
  return Math.trunc(Math.min(Math.max(seconds, -(2 ** 31)), 2 ** 34 - 2 ** 31 - 1));
}

/** The numbers of a device in the form the kernel stores them. */
export function deviceArea(major: number, minor: number): Buffer {
  const area = Buffer.alloc(60);
  if (major < 256 && minor < 256) area.writeUInt32LE((major << 8) | minor, 0);
  else area.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, 4);
  return area;
}
