// Writes an ext4 image in one pass: file data as it comes, then directories, links, attributes, inodes and bitmaps.
// No root, no mount, no tool: ownership, devices and attributes are numbers in a file. The same input, the same bytes.
import type { FileHandle } from "node:fs/promises";
import { TarError } from "../tar/header.ts";
import type { DataRun, DirectoryNode, TreeNode } from "../tree.ts";
import { BlockOutput, blockBytes, writeAll } from "./block-output.ts";
import { directoryBlocks } from "./directory.ts";
import { extentTree, maxFileBlocks } from "./extents.ts";
import { deviceArea, encodeInode, inodeBytes } from "./inode.ts";
import type { InodePlace } from "./inode.ts";
import {
  encodeDescriptors,
  encodeSuperblock,
  firstDataBlock,
  firstFreeInode,
  groupBlocks,
  planGeometry,
} from "./superblock.ts";
import type { GroupState } from "./superblock.ts";
import { xattrBlock } from "./xattr.ts";

interface Numbered {
  node: TreeNode;
  inode: number;
  parent: number;
  shown: string;
}

/** See the file's comment. The file handle stays the caller's: it is neither flushed nor closed here. */
export class Ext4Writer {
  readonly #file: FileHandle;
  readonly #output: BlockOutput;

  /** `file` must be new and empty. */
  constructor(file: FileHandle) {
    this.#file = file;
    this.#output = new BlockOutput(file, firstDataBlock);
  }

  /** Appends a file's data. */
  async writeData(content: AsyncIterable<Buffer>): Promise<DataRun> {
    const firstBlock = await this.#output.pad();
    for await (const piece of content) await this.#output.write(piece);
    const blocks = (await this.#output.pad()) - firstBlock;
    if (blocks > maxFileBlocks) throw new TarError("a file is larger than 170 GiB");
    return { firstBlock, blocks };
  }

  /** Writes everything else. Returns the size of the image. */
  async finish(root: DirectoryNode, uuid: Buffer): Promise<number> {
    const output = this.#output;
    const { nodes, numbers } = numberInodes(root);
    const runs: DataRun[] = [];
    const inodes: Buffer[] = [];
    for (const item of nodes) {
      const place = await this.#place(item, numbers, runs);
      inodes[item.inode] = encodeInode(item.node, place);
    }
    const lastInode = Math.max(inodes.length, firstFreeInode) - 1;
    const usedBlocks = await output.pad();
    const geometry = planGeometry(usedBlocks, lastInode);
    if (geometry === undefined) throw new TarError("it is larger than an image can be (256 GiB)");
    const { groups, inodesPerGroup, inodeTableBlocks, totalBlocks } = geometry;

    const table = Buffer.alloc(groups * inodeTableBlocks * blockBytes);
    inodes.forEach((bytes, inode) => bytes.copy(table, (inode - 1) * inodeBytes));
    const tableBlock = await output.append(table);
    const bitmapBlock = tableBlock + groups * inodeTableBlocks;
    runs.push({ firstBlock: 0, blocks: 1 + geometry.descriptorBlocks });
    runs.push({ firstBlock: tableBlock, blocks: groups * inodeTableBlocks + groups * 2 });

    const blockBitmaps = new Bitmaps(groups, groupBlocks, totalBlocks);
    for (const run of runs) blockBitmaps.set(run.firstBlock, run.blocks);
    const inodeBitmaps = new Bitmaps(groups, inodesPerGroup, inodesPerGroup * groups);
    inodeBitmaps.set(0, lastInode);
    const states: GroupState[] = Array.from({ length: groups }, (_, index) => ({
      blockBitmap: bitmapBlock + index,
      inodeBitmap: bitmapBlock + groups + index,
      inodeTable: tableBlock + index * inodeTableBlocks,
      freeBlocks: blockBitmaps.free(index),
      freeInodes: inodeBitmaps.free(index),
      directories: 0,
    }));
    for (const { node, inode } of nodes) {
      const state = states[Math.floor((inode - 1) / inodesPerGroup)];
      if (node.type === "directory" && state !== undefined) state.directories++;
    }
    await output.write(blockBitmaps.bytes);
    await output.write(inodeBitmaps.bytes);
    await output.finish();

    const head = Buffer.alloc(blockBytes);
    encodeSuperblock(geometry, states, uuid).copy(head, 1024);
    await writeAll(this.#file, head, 0);
    await writeAll(this.#file, encodeDescriptors(states), blockBytes);
    await this.#file.truncate(totalBlocks * blockBytes);
    return totalBlocks * blockBytes;
  }

  /** Writes what an inode needs besides itself and adds the blocks it uses to `runs`. */
  async #place(item: Numbered, numbers: ReadonlyMap<TreeNode, number>, runs: DataRun[]): Promise<InodePlace> {
    const { node, shown } = item;
    const appendBlock = async (block: Buffer) => {
      const number = await this.#output.append(block);
      runs.push({ firstBlock: number, blocks: block.length / blockBytes });
      return number;
    };
    const attributes = xattrBlock(node.xattrs, shown);
    const xattrNumber = attributes === undefined ? 0 : await appendBlock(attributes);
    const own = attributes === undefined ? 0 : 1;
    const links = node.type === "directory" ? directoryLinks(node) : node.links;

    const extents = async (firstBlock: number, blocks: number, sizeBytes: number): Promise<InodePlace> => {
      const { inodeBytes: area, leafBlocks } = await extentTree(firstBlock, blocks, appendBlock);
      const total = blocks + leafBlocks.length + own;
      return { sizeBytes, links, blocks: total, area, usesExtents: true, xattrBlock: xattrNumber };
    };
    const inline = (area: Buffer, sizeBytes: number): InodePlace => {
      return { sizeBytes, links, blocks: own, area, usesExtents: false, xattrBlock: xattrNumber };
    };
    switch (node.type) {
      case "file":
        runs.push(node.data);
        return extents(node.data.firstBlock, node.data.blocks, node.sizeBytes);
      case "directory": {
        const blocks = directoryBlocks([
          { name: Buffer.from("."), inode: item.inode, type: "directory" },
          { name: Buffer.from(".."), inode: item.parent, type: "directory" },
          ...[...node.children].map(([name, child]) => ({
            name: Buffer.from(name, "latin1"),
            inode: numbers.get(child) ?? 0,
            type: child.type,
          })),
        ]);
        return extents(await appendBlock(blocks), blocks.length / blockBytes, blocks.length);
      }
      case "symlink": {
        const target = Buffer.from(node.target, "latin1");
        if (target.length < 60) return inline(Buffer.concat([target], 60), target.length);
        return extents(await appendBlock(Buffer.concat([target], blockBytes)), 1, target.length);
      }
      case "character":
      case "block":
        return inline(deviceArea(node.major, node.minor), 0);
      default:
        return inline(Buffer.alloc(60), 0);
    }
  }
}

/** 2, and one for each directory within; 1 means "too many to count". */
function directoryLinks(node: DirectoryNode): number {
  let links = 2;
  for (const child of node.children.values()) if (child.type === "directory") links++;
  return links > 64_999 ? 1 : links;
}

/** The root is inode 2; the others count from the first free one, in the order of the archive. */
function numberInodes(root: DirectoryNode): { nodes: Numbered[]; numbers: Map<TreeNode, number> } {
  const numbers = new Map<TreeNode, number>([[root, 2]]);
  const nodes: Numbered[] = [{ node: root, inode: 2, parent: 2, shown: "/" }];
  let next = firstFreeInode;
  for (const item of nodes) {
    if (item.node.type !== "directory") continue;
    for (const [name, child] of item.node.children) {
      if (numbers.has(child)) continue;
      numbers.set(child, next);
      nodes.push({ node: child, inode: next, parent: item.inode, shown: name });
      next++;
    }
  }
  return { nodes, numbers };
}

/** One bitmap block for each group; bits past the end of the image, or of the group's inodes, are set. */
class Bitmaps {
  readonly bytes: Buffer;
  readonly #perGroup: number;

  constructor(groups: number, perGroup: number, total: number) {
    this.bytes = Buffer.alloc(groups * blockBytes);
    this.#perGroup = perGroup;
    for (let group = 0; group < groups; group++) {
      const valid = Math.max(0, Math.min(perGroup, total - group * perGroup));
      this.#setBits(group * blockBytes * 8 + valid, blockBytes * 8 - valid);
    }
  }

  /** Sets the bits of the items `first` and following, counted over all groups. */
  set(first: number, count: number): void {
    for (let done = 0; done < count;) {
      const group = Math.floor((first + done) / this.#perGroup);
      const within = (first + done) % this.#perGroup;
      const here = Math.min(count - done, this.#perGroup - within);
      this.#setBits(group * blockBytes * 8 + within, here);
      done += here;
    }
  }

  /** Number of bits that are not set in a group. */
  free(group: number): number {
    let free = 0;
    for (const byte of this.bytes.subarray(group * blockBytes, (group + 1) * blockBytes)) {
      for (let bits = ~byte & 0xff; bits !== 0; bits &= bits - 1) free++;
    }
    return free;
  }

  #setBits(first: number, count: number): void {
    let bit = first;
    const end = first + count;
    while (bit < end) {
      if ((bit & 7) === 0 && end - bit >= 8) {
        const whole = (end - bit) >> 3;
        this.bytes.fill(0xff, bit >> 3, (bit >> 3) + whole);
        bit += whole * 8;
      } else {
        this.bytes[bit >> 3] = (this.bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
        bit++;
      }
    }
  }
}
