// The checksums of metadata blocks (feature metadata_csum): each starts from the file system's UUID, those of an inode's
// own blocks also from its number.
import { crc32c, crc32cOfNumber } from "./crc32c.ts";

export class Checksums {
  /** What checksums of blocks that belong to no inode start from. */
  readonly seed: number;

  /** `uuid`: the 16 bytes that the superblock has. */
  constructor(uuid: Uint8Array) {
    this.seed = crc32c(0xffff_ffff, uuid, 0, 16);
  }

  /** What the checksums of an inode and of its blocks start from; its generation is 0. */
  ofInode(inode: number): number {
    return crc32cOfNumber(crc32cOfNumber(this.seed, inode), 0);
  }
}
