// Where a file's blocks are: extents in the inode, or a tree of extent blocks when there are more than four.
import { blockBytes } from "./block-output.ts";
import { crc32c } from "./crc32c.ts";

/** Longest run that one extent describes. */
const maxExtentBlocks = 32_768;
const inodeSlots = 4;
const nodeSlots = 340;
const tailAt = 12 + nodeSlots * 12;

/** Longest file: block numbers within a file have 32 bits. */
export const maxFileBytes = (2 ** 32 - 1) * blockBytes;

/** A run of blocks, in units of blocks: which part of the file, and where in the image. */
export interface Extent {
  logical: number;
  physical: number;
  blocks: number;
}

interface IndexEntry {
  logical: number;
  block: number;
}

/**
 * The 60 bytes of the inode. `append` stores a block of the tree and tells its number; `seed` is what the checksums of the
 * inode's blocks start from. `treeBlocks`: the blocks that were stored.
 */
export function extentTree(
  runs: readonly Extent[],
  seed: number,
  append: (block: Buffer) => number,
): { inodeBytes: Buffer; treeBlocks: number } {
  const extents = runs.flatMap(split);
  const inodeBytes = Buffer.alloc(60);
  if (extents.length <= inodeSlots) {
    writeLeaf(inodeBytes, inodeSlots, extents);
    return { inodeBytes, treeBlocks: 0 };
  }
  let treeBlocks = 0;
  const store = (block: Buffer) => {
    block.writeUInt32LE(crc32c(seed, block, 0, tailAt), tailAt);
    treeBlocks++;
    return append(block);
  };
  let level: IndexEntry[] = [];
  for (let at = 0; at < extents.length; at += nodeSlots) {
    const part = extents.slice(at, at + nodeSlots);
    const leaf = Buffer.alloc(blockBytes);
    writeLeaf(leaf, nodeSlots, part);
    level.push({ logical: part[0]?.logical ?? 0, block: store(leaf) });
  }
  let depth = 1;
  for (; level.length > inodeSlots; depth++) {
    const above: IndexEntry[] = [];
    for (let at = 0; at < level.length; at += nodeSlots) {
      const part = level.slice(at, at + nodeSlots);
      const node = Buffer.alloc(blockBytes);
      writeIndex(node, nodeSlots, part, depth);
      above.push({ logical: part[0]?.logical ?? 0, block: store(node) });
    }
    level = above;
  }
  writeIndex(inodeBytes, inodeSlots, level, depth);
  return { inodeBytes, treeBlocks };
}

function split({ logical, physical, blocks }: Extent): Extent[] {
  const parts: Extent[] = [];
  for (let done = 0; done < blocks; done += maxExtentBlocks) {
    const count = Math.min(maxExtentBlocks, blocks - done);
    parts.push({ logical: logical + done, physical: physical + done, blocks: count });
  }
  return parts;
}

function writeHeader(target: Buffer, entries: number, slots: number, depth: number): void {
  target.writeUInt16LE(0xf30a, 0);
  target.writeUInt16LE(entries, 2);
  target.writeUInt16LE(slots, 4);
  target.writeUInt16LE(depth, 6);
}

function writeLeaf(target: Buffer, slots: number, extents: readonly Extent[]): void {
  writeHeader(target, extents.length, slots, 0);
  extents.forEach(({ logical, blocks, physical }, index) => {
    const offset = 12 + index * 12;
    target.writeUInt32LE(logical, offset);
    target.writeUInt16LE(blocks, offset + 4);
    target.writeUInt32LE(physical, offset + 8);
  });
}

function writeIndex(target: Buffer, slots: number, entries: readonly IndexEntry[], depth: number): void {
  writeHeader(target, entries.length, slots, depth);
  entries.forEach(({ logical, block }, index) => {
    target.writeUInt32LE(logical, 12 + index * 12);
    target.writeUInt32LE(block, 16 + index * 12);
  });
}
