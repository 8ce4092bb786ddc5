// What a file system says of itself, as far as reading its files needs it.
import { damaged, type Disk } from "./disk.ts";

export interface Superblock {
  blockBytes: number;
  blocks: number;
  inodes: number;
  inodesPerGroup: number;
  inodeBytes: number;
  descriptorBytes: number;
  /** Where the group descriptors begin. */
  descriptorsAt: number;
}

/** Features that change how files are found. */
const features: readonly [bit: number, name: string][] = [
  [0x1, "compression"],
  [0x4, "a journal that was not played back: run e2fsck on it"],
  [0x8, "a journal device"],
  [0x10, "meta_bg"],
  [0x400, "ea_inode"],
  [0x8000, "inline_data"],
  [0x10000, "encrypt"],
];
const known = 0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x2000 | 0x4000 | 0x20000;
const is64Bit = 0x80;
const place = 1024;

export async function readSuperblock(disk: Disk): Promise<Superblock> {
  const raw = await disk.read(place, 1024);
  if (raw.readUInt16LE(56) !== 0xef53) throw damaged("it is no ext4");
  const incompatible = raw.readUInt32LE(96);
  const foreign = features.find(([bit]) => (incompatible & bit) !== 0);
  if (foreign !== undefined) throw damaged(`it has ${foreign[1]}`);
  if ((incompatible & ~known) !== 0) throw damaged(`it has unknown features (0x${incompatible.toString(16)})`);
  const logBlock = raw.readUInt32LE(24);
  const blockBytes = 1024 << logBlock;
  const large = (incompatible & is64Bit) !== 0;
  const found: Superblock = {
    blockBytes,
    blocks: raw.readUInt32LE(4) + (large ? raw.readUInt32LE(336) * 2 ** 32 : 0),
    inodes: raw.readUInt32LE(0),
    inodesPerGroup: raw.readUInt32LE(40),
    inodeBytes: raw.readUInt32LE(76) === 0 ? 128 : raw.readUInt16LE(88),
    descriptorBytes: large ? raw.readUInt16LE(254) : 32,
    descriptorsAt: (raw.readUInt32LE(20) + 1) * blockBytes,
  };
  const { inodeBytes, descriptorBytes, inodesPerGroup } = found;
  const isOdd = (bytes: number, least: number) => bytes < least || bytes > blockBytes || (bytes & (bytes - 1)) !== 0;
  if (logBlock > 6 || inodesPerGroup === 0 || isOdd(inodeBytes, 128) || isOdd(descriptorBytes, large ? 64 : 32)) {
    throw damaged("its superblock is damaged");
  }
  return found;
}
