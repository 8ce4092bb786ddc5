// The attribute blocks of an image: inodes with the same attributes share a block, as the kernel has them do.
import { createHash } from "node:crypto";
import type { BlockOutput } from "./block-output.ts";
import { sealXattrBlock, xattrBlock } from "./xattr.ts";
import type { Xattrs } from "./xattr.ts";

/** The kernel lets no more inodes than this share a block. */
const maxSharers = 1024;

/** A block is made again when it is written: thousands of them would fill the memory. */
interface Shared {
  xattrs: Xattrs;
  sharers: number;
  number: number;
}

/** First `add` for every inode, then `write` once, then `numberOf`. */
export class XattrStore {
  readonly #open = new Map<string, Shared>();
  readonly #blocks: Shared[] = [];
  readonly #of = new Map<Xattrs, Shared>();

  /** Counts one inode with these attributes; no other inode has the same Map. */
  add(xattrs: Xattrs): void {
    if (xattrs.size === 0) return;
    const key = createHash("sha256").update(xattrBlock(xattrs)).digest("base64");
    let block = this.#open.get(key);
    if (block === undefined || block.sharers === maxSharers) {
      block = { xattrs, sharers: 0, number: 0 };
      this.#open.set(key, block);
      this.#blocks.push(block);
    }
    block.sharers++;
    this.#of.set(xattrs, block);
  }

  /** Appends all blocks; returns how many. `seed`: what checksums start from. */
  write(output: BlockOutput, seed: number): number {
    for (const block of this.#blocks) {
      block.number = output.pad();
      const bytes = xattrBlock(block.xattrs);
      sealXattrBlock(bytes, block.number, block.sharers, seed);
      output.write(bytes);
    }
    return this.#blocks.length;
  }

  /** Number of the block of an inode with these attributes; 0 for none. */
  numberOf(xattrs: Xattrs): number {
    return this.#of.get(xattrs)?.number ?? 0;
  }
}
