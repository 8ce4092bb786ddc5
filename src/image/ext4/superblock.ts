// The superblock, the group descriptors and how an image is divided into groups.
import { blockBytes } from "./block-output.ts";
import { crc32c, crc32cOfNumber } from "./crc32c.ts";
import { inodeBytes } from "./inode.ts";
import { halfMd4 } from "./name-hash.ts";

export const groupBlocks = 32_768;
export const firstFreeInode = 11;
const descriptorBytes = 32;
const descriptorsPerBlock = blockBytes / descriptorBytes;
const inodesPerBlock = blockBytes / inodeBytes;
/** Blocks kept free for descriptors, since the size is not known before the data is there: room for 256 GiB. */
const maxDescriptorBlocks = 16;
/** First block of data: behind the superblock and the descriptors. */
export const firstDataBlock = 1 + maxDescriptorBlocks;

export interface Geometry {
  groups: number;
  totalBlocks: number;
  inodesPerGroup: number;
  inodeTableBlocks: number;
  descriptorBlocks: number;
}

/** The fewest groups that hold `usedBlocks`, their own bitmaps and inode tables. Undefined when it is too large. */
export function planGeometry(usedBlocks: number, lastInode: number): Geometry | undefined {
  const least = Math.max(1, Math.ceil(usedBlocks / groupBlocks), Math.ceil(lastInode / groupBlocks));
  for (let groups = least; groups <= maxDescriptorBlocks * descriptorsPerBlock; groups++) {
    const inodesPerGroup = Math.ceil(lastInode / groups / inodesPerBlock) * inodesPerBlock;
    const inodeTableBlocks = inodesPerGroup / inodesPerBlock;
    const needed = usedBlocks + groups * (inodeTableBlocks + 2);
    if (inodesPerGroup > groupBlocks || needed > groups * groupBlocks) continue;
    return {
      groups,
      totalBlocks: Math.max(needed, (groups - 1) * groupBlocks + 64),
      inodesPerGroup,
      inodeTableBlocks,
      descriptorBlocks: Math.ceil(groups / descriptorsPerBlock),
    };
  }
  return undefined;
}

export interface GroupState {
  blockBitmap: number;
  inodeBitmap: number;
  inodeTable: number;
  freeBlocks: number;
  freeInodes: number;
  directories: number;
  /** Inodes at the end of the group's table that were never used. */
  unusedInodes: number;
  blockBitmapSum: number;
  inodeBitmapSum: number;
}

const tableIsZeroed = 4;

/** The table of group descriptors. `seed`: what checksums start from. */
export function encodeDescriptors(groups: readonly GroupState[], seed: number): Buffer {
  const table = Buffer.alloc(groups.length * descriptorBytes);
  groups.forEach((group, index) => {
    const at = index * descriptorBytes;
    table.writeUInt32LE(group.blockBitmap, at);
    table.writeUInt32LE(group.inodeBitmap, at + 4);
    table.writeUInt32LE(group.inodeTable, at + 8);
    table.writeUInt16LE(group.freeBlocks, at + 12);
    table.writeUInt16LE(group.freeInodes, at + 14);
    table.writeUInt16LE(group.directories, at + 16);
    table.writeUInt16LE(tableIsZeroed, at + 18);
    table.writeUInt16LE(group.blockBitmapSum & 0xffff, at + 24);
    table.writeUInt16LE(group.inodeBitmapSum & 0xffff, at + 26);
    table.writeUInt16LE(group.unusedInodes, at + 28);
    const sum = crc32c(crc32cOfNumber(seed, index), table, at, at + descriptorBytes);
    table.writeUInt16LE(sum & 0xffff, at + 30);
  });
  return table;
}

/**
 * The 1024 bytes of the superblock. No journal (the image is only read), no reserved blocks, and with sparse_super2 no
 * copies of the superblock, so the data can lie in one piece. `uuid`: 16 bytes, also what names are hashed with.
 */
export function encodeSuperblock(geometry: Geometry, groups: readonly GroupState[], uuid: Buffer): Buffer {
  const block = Buffer.alloc(1024);
  const sum = (field: "freeBlocks" | "freeInodes") => groups.reduce((total, group) => total + group[field], 0);
  const compat = 0x8 | 0x20 | 0x200; // ext_attr, dir_index, sparse_super2
  const incompat = 0x2 | 0x40 | 0x200; // filetype, extents, flex_bg (metadata of a group may lie anywhere)
  const readOnlyCompat = 0x1 | 0x2 | 0x20 | 0x40 | 0x400; // sparse_super, large_file, dir_nlink, extra_isize, metadata_csum
  block.writeUInt32LE(geometry.inodesPerGroup * geometry.groups, 0);
  block.writeUInt32LE(geometry.totalBlocks, 4);
  block.writeUInt32LE(sum("freeBlocks"), 12);
  block.writeUInt32LE(sum("freeInodes"), 16);
  block.writeUInt32LE(2, 24); // blocks of 1024 << 2 bytes
  block.writeUInt32LE(2, 28);
  block.writeUInt32LE(groupBlocks, 32);
  block.writeUInt32LE(groupBlocks, 36);
  block.writeUInt32LE(geometry.inodesPerGroup, 40);
  block.writeUInt16LE(0xffff, 54); // no check after a number of mounts
  block.writeUInt16LE(0xef53, 56);
  block.writeUInt16LE(1, 58); // clean
  block.writeUInt16LE(1, 60); // errors: continue
  block.writeUInt32LE(1, 76); // revision with the fields below
  block.writeUInt32LE(firstFreeInode, 84);
  block.writeUInt16LE(inodeBytes, 88);
  block.writeUInt32LE(compat, 92);
  block.writeUInt32LE(incompat, 96);
  block.writeUInt32LE(readOnlyCompat, 100);
  uuid.copy(block, 104, 0, 16);
  block.write("banger", 120, "latin1");
  uuid.copy(block, 236, 0, 16); // hash seed
  block.writeUInt8(halfMd4, 252);
  block.writeUInt32LE(0x000c, 256); // mount with user_xattr and acl
  block.writeUInt16LE(32, 348);
  block.writeUInt16LE(32, 350);
  block.writeUInt32LE(2, 352); // names are hashed as unsigned bytes
  block.writeUInt8(4, 372); // 16 groups in a flexible one
  block.writeUInt8(1, 373); // checksums are crc32c
  block.writeUInt32LE(crc32c(0xffff_ffff, block, 0, 1020), 1020);
  return block;
}
