// Directory blocks: a plain list in one block, or a hashed index over sorted blocks when one is not enough.
import type { TreeNode } from "../tree.ts";
import { blockBytes } from "./block-output.ts";
import { crc32c } from "./crc32c.ts";
import { directoryIndex } from "./directory-index.ts";
import { nameHash } from "./name-hash.ts";

export interface DirectoryEntry {
  name: Buffer;
  inode: number;
  type: TreeNode["type"];
}

/** What the blocks of one directory need to know of it and of the file system. */
export interface DirectoryPlace {
  inode: number;
  parent: number;
  /** What the checksums of the directory's blocks start from. */
  seed: number;
  hashSeed: Uint32Array;
}

const typeCodes = { file: 1, directory: 2, character: 3, block: 4, fifo: 5, symlink: 7 } as const;
const tailBytes = 12;
const usableBytes = blockBytes - tailBytes;

/** All blocks of a directory. `entries` are those besides "." and "..". */
export function directoryBlocks(
  entries: readonly DirectoryEntry[],
  place: DirectoryPlace,
): { bytes: Buffer; indexed: boolean } {
  const dots: DirectoryEntry[] = [
    { name: Buffer.from("."), inode: place.inode, type: "directory" },
    { name: Buffer.from(".."), inode: place.parent, type: "directory" },
  ];
  const total = [...dots, ...entries].reduce((sum, entry) => sum + entryBytes(entry), 0);
  if (total <= usableBytes) return { bytes: leaf([...dots, ...entries], place.seed), indexed: false };

  const hashed = entries
    .map((entry) => ({ entry, ...nameHash(entry.name, place.hashSeed) }))
    .toSorted((a, b) => a.major - b.major || a.minor - b.minor || a.entry.name.compare(b.entry.name));
  const leaves: { bytes: Buffer; hash: number }[] = [];
  let part: DirectoryEntry[] = [];
  let used = 0;
  let firstHash = 0;
  let lastHash = -1;
  const close = () => leaves.push({ bytes: leaf(part, place.seed), hash: firstHash });
  for (const { entry, major } of hashed) {
    const bytes = entryBytes(entry);
    if (used + bytes > usableBytes) {
      close();
      part = [];
      used = 0;
      // An odd hash tells that names with this hash are in the block before, too.
      firstHash = major === lastHash ? major + 1 : major;
    }
    part.push(entry);
    used += bytes;
    lastHash = major;
  }
  close();
  const index = directoryIndex(
    leaves.map(({ hash }) => hash),
    place,
  );
  return { bytes: Buffer.concat([index, ...leaves.map(({ bytes }) => bytes)]), indexed: true };
}

function entryBytes({ name }: DirectoryEntry): number {
  return 8 + Math.ceil(name.length / 4) * 4;
}

function leaf(entries: readonly DirectoryEntry[], seed: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  let used = 0;
  entries.forEach((entry, index) => {
    const { name, inode, type } = entry;
    // The last entry of a block reaches to its tail.
    const bytes = index === entries.length - 1 ? usableBytes - used : entryBytes(entry);
    block.writeUInt32LE(inode, used);
    block.writeUInt16LE(bytes, used + 4);
    block.writeUInt8(name.length, used + 6);
    block.writeUInt8(typeCodes[type], used + 7);
    name.copy(block, used + 8);
    used += bytes;
  });
  // The tail looks like an unused entry to whoever does not know it.
  block.writeUInt16LE(tailBytes, usableBytes + 4);
  block.writeUInt8(0xde, usableBytes + 7);
  block.writeUInt32LE(crc32c(seed, block, 0, usableBytes), usableBytes + 8);
  return block;
}
