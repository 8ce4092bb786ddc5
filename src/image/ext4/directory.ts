// Directory blocks: a plain list of entries, which every kernel reads.
import type { TreeNode } from "../tree.ts";
import { blockBytes } from "./block-output.ts";

export interface DirectoryEntry {
  name: Buffer;
  inode: number;
  type: TreeNode["type"];
}

const typeCodes = { file: 1, directory: 2, character: 3, block: 4, fifo: 5, symlink: 7 } as const;

/** The blocks of a directory, "." and ".." first. */
export function directoryBlocks(entries: readonly DirectoryEntry[]): Buffer {
  const blocks: Buffer[] = [];
  let block = Buffer.alloc(blockBytes);
  let used = 0;
  let last = 0;
  const close = () => {
    // The last entry of a block reaches to its end.
    block.writeUInt16LE(blockBytes - last, last + 4);
    blocks.push(block);
  };
  for (const { name, inode, type } of entries) {
    const bytes = 8 + Math.ceil(name.length / 4) * 4;
    if (used + bytes > blockBytes) {
      close();
      block = Buffer.alloc(blockBytes);
      used = 0;
    }
    block.writeUInt32LE(inode, used);
    block.writeUInt16LE(bytes, used + 4);
    block.writeUInt8(name.length, used + 6);
    block.writeUInt8(typeCodes[type], used + 7);
    name.copy(block, used + 8);
    last = used;
    used += bytes;
  }
  close();
  return Buffer.concat(blocks);
}
