// Where a file's blocks are: extents in the inode, or leaf blocks of extents when the file is long.
import { blockBytes } from "./block-output.ts";

/** Longest run that one extent describes. */
const maxExtentBlocks = 32_768;
const inodeSlots = 4;
const leafSlots = 340;

/** Longest file in blocks: as many leaf blocks as fit the inode. */
export const maxFileBlocks = inodeSlots * leafSlots * maxExtentBlocks;

interface Extent {
  logical: number;
  blocks: number;
  physical: number;
}

/** The 60 bytes of the inode for one run of blocks; `appendLeaf` stores a leaf block and tells its number. */
export async function extentTree(
  firstBlock: number,
  blocks: number,
  appendLeaf: (leaf: Buffer) => Promise<number>,
): Promise<{ inodeBytes: Buffer; leafBlocks: number[] }> {
  const extents: Extent[] = [];
  for (let done = 0; done < blocks; done += maxExtentBlocks) {
    extents.push({ logical: done, blocks: Math.min(maxExtentBlocks, blocks - done), physical: firstBlock + done });
  }
  const inodeBytes = Buffer.alloc(60);
  if (extents.length <= inodeSlots) {
    writeNode(inodeBytes, inodeSlots, extents);
    return { inodeBytes, leafBlocks: [] };
  }
  const leafBlocks: number[] = [];
  writeHeader(inodeBytes, Math.ceil(extents.length / leafSlots), inodeSlots, 1);
  for (let at = 0; at < extents.length; at += leafSlots) {
    const leaf = Buffer.alloc(blockBytes);
    const part = extents.slice(at, at + leafSlots);
    writeNode(leaf, leafSlots, part);
    const block = await appendLeaf(leaf);
    const offset = 12 + leafBlocks.length * 12;
    inodeBytes.writeUInt32LE(part[0]?.logical ?? 0, offset);
    inodeBytes.writeUInt32LE(block, offset + 4);
    leafBlocks.push(block);
  }
  return { inodeBytes, leafBlocks };
}

function writeHeader(target: Buffer, entries: number, slots: number, depth: number): void {
  target.writeUInt16LE(0xf30a, 0);
  target.writeUInt16LE(entries, 2);
  target.writeUInt16LE(slots, 4);
  target.writeUInt16LE(depth, 6);
}

function writeNode(target: Buffer, slots: number, extents: readonly Extent[]): void {
  writeHeader(target, extents.length, slots, 0);
  extents.forEach(({ logical, blocks, physical }, index) => {
    const offset = 12 + index * 12;
    target.writeUInt32LE(logical, offset);
    target.writeUInt16LE(blocks, offset + 4);
    target.writeUInt32LE(physical, offset + 8);
  });
}
