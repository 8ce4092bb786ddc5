// Writes an ext4 image in one pass: file data as it comes, then directories, links, attributes, inodes and bitmaps.
// No root, no mount, no tool: ownership, devices and attributes are numbers in a file. The same input, the same bytes.
import { ftruncateSync } from "node:fs";
import { TarError } from "../tar/header.ts";
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { Bitmaps } from "./bitmaps.ts";
import { BlockOutput, blockBytes, writeAll } from "./block-output.ts";
import { Checksums } from "./checksums.ts";
import { directoryBlocks } from "./directory.ts";
import { extentTree } from "./extents.ts";
import type { Extent } from "./extents.ts";
import { FileData } from "./file-data.ts";
import { deviceArea, encodeInode, encodeReserved, inodeBytes } from "./inode.ts";
import type { InodePlace } from "./inode.ts";
import { numberInodes } from "./numbering.ts";
import type { NumberedNode } from "./numbering.ts";
import {
  encodeDescriptors,
  encodeSuperblock,
  firstDataBlock,
  firstFreeInode,
  groupBlocks,
  planGeometry,
} from "./superblock.ts";
import type { GroupState } from "./superblock.ts";
import { XattrStore } from "./xattr-store.ts";

/** See the file's comment. The file descriptor stays the caller's: it is neither flushed nor closed here. */
export class Ext4Writer {
  /** Takes the contents of files, one after the other. */
  readonly data: FileData;
  readonly #descriptor: number;
  readonly #output: BlockOutput;

  /** The file must be new and empty. `beforeWrite` is told of bytes that are about to be written, and may throw. */
  constructor(descriptor: number, beforeWrite?: (bytes: number) => void) {
    this.#descriptor = descriptor;
    this.#output = new BlockOutput(descriptor, firstDataBlock, beforeWrite);
    this.data = new FileData(this.#output);
  }

  /** Writes everything else. `uuid`: 16 bytes. Returns the size of the image. */
  finish(root: DirectoryNode, uuid: Buffer): number {
    const { nodes, numbers } = numberInodes(root);
    const checksums = new Checksums(uuid);
    const contents = new Contents(this.data, checksums, numbers, hashSeed(uuid));
    for (const { node } of nodes) contents.xattrs.add(node.xattrs);
    const xattrBlocks = this.#output.pad();
    contents.used.push({
      logical: 0,
      physical: xattrBlocks,
      blocks: contents.xattrs.write(this.#output, checksums.seed),
    });

    const lastInode = Math.max(nodes.length + firstFreeInode - 2, firstFreeInode - 1);
    const inodes = Buffer.alloc(lastInode * inodeBytes);
    for (let inode = 1; inode < firstFreeInode; inode++) encodeReserved(slot(inodes, inode), checksums.ofInode(inode));
    for (const item of nodes) {
      const target = slot(inodes, item.inode).fill(0);
      encodeInode(target, item.node, contents.place(item), checksums.ofInode(item.inode));
    }
    return this.#writeGroups(nodes, inodes, contents.used, { checksums, uuid, lastInode });
  }

  #writeGroups(
    nodes: readonly NumberedNode[],
    inodes: Buffer,
    used: Extent[],
    { checksums, uuid, lastInode }: { checksums: Checksums; uuid: Buffer; lastInode: number },
  ): number {
    const output = this.#output;
    const geometry = planGeometry(output.pad(), lastInode);
    if (geometry === undefined) throw new TarError("it is larger than an image can be (256 GiB)");
    const { groups, inodesPerGroup, inodeTableBlocks, totalBlocks } = geometry;
    const tableBlock = output.append(inodes);
    const tableBlocks = groups * inodeTableBlocks;
    // The rest of the table, which no inode uses.
    output.write(Buffer.alloc(tableBlocks * blockBytes - Math.ceil(inodes.length / blockBytes) * blockBytes));
    const bitmapBlock = tableBlock + tableBlocks;
    used.push({ logical: 0, physical: 0, blocks: 1 + geometry.descriptorBlocks });
    used.push({ logical: 0, physical: tableBlock, blocks: tableBlocks + groups * 2 });

    const blockBitmaps = new Bitmaps(groups, groupBlocks, totalBlocks);
    for (const run of used) blockBitmaps.set(run.physical, run.blocks);
    const inodeBitmaps = new Bitmaps(groups, inodesPerGroup, inodesPerGroup * groups);
    inodeBitmaps.set(0, lastInode);
    const states: GroupState[] = Array.from({ length: groups }, (_, index) => ({
      blockBitmap: bitmapBlock + index,
      inodeBitmap: bitmapBlock + groups + index,
      inodeTable: tableBlock + index * inodeTableBlocks,
      freeBlocks: blockBitmaps.free(index),
      freeInodes: inodeBitmaps.free(index),
      directories: 0,
      // Inodes are used from the first on, so those that are free are the last.
      unusedInodes: inodeBitmaps.free(index),
      blockBitmapSum: blockBitmaps.sum(index, checksums.seed),
      inodeBitmapSum: inodeBitmaps.sum(index, checksums.seed),
    }));
    for (const { node, inode } of nodes) {
      const state = states[Math.floor((inode - 1) / inodesPerGroup)];
      if (node.type === "directory" && state !== undefined) state.directories++;
    }
    output.write(blockBitmaps.bytes);
    output.write(inodeBitmaps.bytes);
    output.flush();

    const head = Buffer.alloc(blockBytes);
    encodeSuperblock(geometry, states, uuid).copy(head, 1024);
    writeAll(this.#descriptor, encodeDescriptors(states, checksums.seed), blockBytes);
    writeAll(this.#descriptor, head, 0);
    ftruncateSync(this.#descriptor, totalBlocks * blockBytes);
    return totalBlocks * blockBytes;
  }
}

function slot(inodes: Buffer, inode: number): Buffer {
  return inodes.subarray((inode - 1) * inodeBytes, inode * inodeBytes);
}

function hashSeed(uuid: Buffer): Uint32Array {
  return Uint32Array.from([0, 4, 8, 12], (at) => uuid.readUInt32LE(at));
}

/** Writes what inodes need besides themselves: directories, long links, extent blocks. */
class Contents {
  readonly xattrs = new XattrStore();
  /** Every run of blocks that the tree uses. */
  readonly used: Extent[] = [];
  readonly #data: FileData;
  readonly #checksums: Checksums;
  readonly #numbers: ReadonlyMap<TreeNode, number>;
  readonly #hashSeed: Uint32Array;

  constructor(data: FileData, checksums: Checksums, numbers: ReadonlyMap<TreeNode, number>, seed: Uint32Array) {
    this.#data = data;
    this.#checksums = checksums;
    this.#numbers = numbers;
    this.#hashSeed = seed;
  }

  place(item: NumberedNode): InodePlace {
    const { node } = item;
    const seed = this.#checksums.ofInode(item.inode);
    const xattrNumber = this.xattrs.numberOf(node.xattrs);
    const own = xattrNumber === 0 ? 0 : 1;
    const links = node.type === "directory" ? directoryLinks(node) : node.links;
    const common = { links, xattrBlock: xattrNumber, isIndexed: false };

    const extents = (runs: readonly Extent[], sizeBytes: number): InodePlace => {
      const { inodeBytes: area, treeBlocks } = extentTree(runs, seed, (block) => this.#append(block).physical);
      const blocks = runs.reduce((sum, run) => sum + run.blocks, treeBlocks + own);
      return { ...common, sizeBytes, blocks, area, usesExtents: true };
    };
    const inline = (area: Buffer, sizeBytes: number): InodePlace => {
      return { ...common, sizeBytes, blocks: own, area, usesExtents: false };
    };
    switch (node.type) {
      case "file":
        for (const run of node.extents) this.used.push(run);
        return extents(node.extents, node.sizeBytes);
      case "directory": {
        const entries = [...node.children].map(([name, child]) => ({
          name: Buffer.from(name, "latin1"),
          inode: this.#numbers.get(child) ?? 0,
          type: child.type,
        }));
        const { inode, parent } = item;
        const { bytes, indexed } = directoryBlocks(entries, { inode, parent, seed, hashSeed: this.#hashSeed });
        return { ...extents([this.#append(bytes)], bytes.length), isIndexed: indexed };
      }
      case "symlink": {
        const target = Buffer.from(node.target, "latin1");
        if (target.length < 60) return inline(Buffer.concat([target], 60), target.length);
        return extents([this.#append(Buffer.concat([target], blockBytes))], target.length);
      }
      case "character":
      case "block":
        return inline(deviceArea(node.major, node.minor), 0);
      default:
        return inline(Buffer.alloc(60), 0);
    }
  }

  #append(bytes: Buffer): Extent {
    const run = { logical: 0, physical: this.#data.store(bytes), blocks: bytes.length / blockBytes };
    this.used.push(run);
    return run;
  }
}

/** 2, and one for each directory within; 1 means "too many to count". */
function directoryLinks(node: DirectoryNode): number {
  let links = 2;
  for (const child of node.children.values()) if (child.type === "directory") links++;
  return links > 64_999 ? 1 : links;
}
