// The bytes of a file: its extents in their order, and zeros where there are none.
import { damaged, type Disk } from "./disk.ts";
import type { Inode } from "./inode.ts";
import type { Superblock } from "./superblock.ts";

interface Extent {
  /** Blocks from the start of the file. */
  at: number;
  count: number;
  /** Block of the file system; undefined for one that was set aside and never written. */
  start: number | undefined;
}

const deepest = 5;
const longest = 32_768;
const zeros = Buffer.alloc(1024 * 1024);

/** Pieces of at most 1 MiB, `sizeBytes` together. */
export async function* contentOf(disk: Disk, layout: Superblock, inode: Inode): AsyncGenerator<Buffer> {
  const { blockBytes, blocks } = layout;
  if (!inode.usesExtents && inode.sizeBytes > 0) throw damaged(`inode ${inode.number} is of ext2 or ext3`);
  let done = 0;
  if (inode.sizeBytes > 0) {
    for await (const { at, count, start } of extents(disk, layout, inode.area, {
      levels: deepest,
      budget: { left: layout.blocks },
    })) {
      const from = at * blockBytes;
      if (from < done) throw damaged(`the extents of inode ${inode.number} overlap`);
      const length = Math.min(count * blockBytes, inode.sizeBytes - from);
      if (length <= 0) break;
      yield* nothing(from - done);
      if (start === undefined) yield* nothing(length);
      else if (start + count > blocks) throw damaged(`inode ${inode.number} goes beyond the end`);
      else yield* disk.content(start * blockBytes, length);
      done = from + length;
    }
  }
  yield* nothing(inode.sizeBytes - done);
}

function* nothing(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length));
}

interface Bounds {
  /** Of nodes below this one. */
  levels: number;
  /** Entries that the whole tree may have: a tree that leads to the same nodes again and again would have no end. */
  budget: { left: number };
}

async function* extents(
  disk: Disk,
  layout: Superblock,
  node: Buffer,
  { levels, budget }: Bounds,
): AsyncGenerator<Extent> {
  const count = node.readUInt16LE(2);
  const depth = node.readUInt16LE(6);
  if (node.readUInt16LE(0) !== 0xf30a || depth > levels || 12 + count * 12 > node.length) {
    throw damaged("a block of extents is damaged");
  }
  budget.left -= count + 1;
  if (budget.left < 0) throw damaged("a file has more extents than there are blocks");
  for (let at = 12; at < 12 + count * 12; at += 12) {
    if (depth > 0) {
      const block = node.readUInt32LE(at + 4) + node.readUInt16LE(at + 8) * 2 ** 32;
      if (block >= layout.blocks) throw damaged("a block of extents is nowhere");
      yield* extents(disk, layout, await disk.read(block * layout.blockBytes, layout.blockBytes), {
        levels: depth - 1,
        budget,
      });
      continue;
    }
    const length = node.readUInt16LE(at + 4);
    const isWritten = length <= longest;
    const start = node.readUInt32LE(at + 8) + node.readUInt16LE(at + 6) * 2 ** 32;
    const blocks = isWritten ? length : length - longest;
    yield { at: node.readUInt32LE(at), count: blocks, start: isWritten ? start : undefined };
  }
}
