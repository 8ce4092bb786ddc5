// The index of a large directory: a root block, and one more level of blocks when the root is too small.
import { TarError } from "../tar/header.ts";
import { blockBytes } from "./block-output.ts";
import { crc32c, crc32cOfNumber } from "./crc32c.ts";
import type { DirectoryPlace } from "./directory.ts";
import { halfMd4 } from "./name-hash.ts";

const rootEntriesAt = 32;
const nodeEntriesAt = 8;
const tailBytes = 8;
const rootSlots = (blockBytes - rootEntriesAt - tailBytes) / 8;
const nodeSlots = (blockBytes - nodeEntriesAt - tailBytes) / 8;

interface IndexEntry {
  hash: number;
  block: number;
}

/**
 * The blocks that stand before the leaves. `hashes` has the lowest hash of each leaf, in order; the leaves follow the
 * returned blocks.
 */
export function directoryIndex(hashes: readonly number[], place: DirectoryPlace): Buffer {
  const nodeCount = hashes.length <= rootSlots ? 0 : Math.ceil(hashes.length / nodeSlots);
  if (nodeCount > rootSlots) throw new TarError("a directory has more names than an index can hold");
  const leaves = hashes.map((hash, index) => ({ hash, block: 1 + nodeCount + index }));
  const nodes: Buffer[] = [];
  const entries: IndexEntry[] = [];
  for (let number = 0; number < nodeCount; number++) {
    const part = leaves.slice(number * nodeSlots, (number + 1) * nodeSlots);
    const block = Buffer.alloc(blockBytes);
    block.writeUInt16LE(blockBytes, 4);
    writeEntries(block, nodeEntriesAt, nodeSlots, part, place.seed);
    nodes.push(block);
    entries.push({ hash: part[0]?.hash ?? 0, block: 1 + number });
  }
  const root = rootBlock(place, nodeCount === 0 ? 0 : 1);
  writeEntries(root, rootEntriesAt, rootSlots, nodeCount === 0 ? leaves : entries, place.seed);
  return Buffer.concat([root, ...nodes]);
}

/** "." and ".." as plain entries, and between them and the index what it is made with. */
function rootBlock({ inode, parent }: DirectoryPlace, levels: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.writeUInt32LE(inode, 0);
  block.writeUInt16LE(12, 4);
  block.writeUInt16LE(0x0201, 6);
  block.write(".", 8);
  block.writeUInt32LE(parent, 12);
  block.writeUInt16LE(blockBytes - 12, 16);
  block.writeUInt16LE(0x0202, 18);
  block.write("..", 20);
  block.writeUInt8(halfMd4, 28);
  block.writeUInt8(8, 29);
  block.writeUInt8(levels, 30);
  return block;
}

/** The first entry has no hash: its place holds how many there are and could be. */
function writeEntries(block: Buffer, start: number, slots: number, entries: readonly IndexEntry[], seed: number): void {
  entries.forEach(({ hash, block: number }, index) => {
    block.writeUInt32LE(hash, start + index * 8);
    block.writeUInt32LE(number, start + index * 8 + 4);
  });
  block.writeUInt16LE(slots, start);
  block.writeUInt16LE(entries.length, start + 2);
  const upToLast = crc32c(seed, block, 0, start + entries.length * 8);
  // The tail's first word, and a zero in place of the checksum itself.
  const sum = crc32cOfNumber(crc32cOfNumber(upToLast, 0), 0);
  block.writeUInt32LE(sum, start + slots * 8 + 4);
}
