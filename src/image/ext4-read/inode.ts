// Inodes: where they are, and what they say of a file.
import { damaged, type Disk } from "./disk.ts";
import type { Superblock } from "./superblock.ts";

export type FileType = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

export interface Inode {
  number: number;
  type: FileType;
  /** Permissions, with the set-id and sticky bits. */
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  links: number;
  usesExtents: boolean;
  /** The 60 bytes of extents, of a short link's target, or of a device's numbers. */
  area: Buffer;
  /** Block of extended attributes; 0 when there is none. */
  xattrBlock: number;
  /** The rest of the inode, which may hold extended attributes. */
  extra: Buffer;
}

const types: Readonly<Record<number, FileType>> = {
  0o010000: "fifo",
  0o020000: "character",
  0o040000: "directory",
  0o060000: "block",
  0o100000: "file",
  0o120000: "symlink",
  0o140000: "socket",
};
const extentsFlag = 0x80000;
/** Encrypted, with content inside the inode, or with attributes in inodes of their own. */
const foreignFlags = 0x800 | 0x10000000 | 0x200000;
const oldBytes = 128;

export async function readInode(disk: Disk, layout: Superblock, number: number): Promise<Inode> {
  const raw = await disk.read(await placeOf(disk, layout, number), layout.inodeBytes);
  const type = types[raw.readUInt16LE(0) & 0o170000];
  const flags = raw.readUInt32LE(32);
  if (type === undefined || (flags & foreignFlags) !== 0) throw damaged(`inode ${number} is of an unknown kind`);
  const extraBytes = layout.inodeBytes > oldBytes ? raw.readUInt16LE(oldBytes) : 0;
  // Bits 0-1 extend the signed 32-bit seconds beyond 2038, the others are nanoseconds.
  const time = extraBytes >= 12 ? raw.readUInt32LE(136) : 0;
  return {
    number,
    type,
    mode: raw.readUInt16LE(0) & 0o7777,
    uid: raw.readUInt16LE(2) + raw.readUInt16LE(120) * 65_536,
    gid: raw.readUInt16LE(24) + raw.readUInt16LE(122) * 65_536,
    sizeBytes: raw.readUInt32LE(4) + (type === "file" || type === "directory" ? raw.readUInt32LE(108) * 2 ** 32 : 0),
    mtimeSeconds: raw.readInt32LE(16) + (time & 3) * 2 ** 32,
    mtimeNanoseconds: Math.min(time >>> 2, 999_999_999),
    links: raw.readUInt16LE(26),
    usesExtents: (flags & extentsFlag) !== 0,
    area: raw.subarray(40, 100),
    xattrBlock: raw.readUInt32LE(104) + raw.readUInt16LE(118) * 2 ** 32,
    extra: raw.subarray(Math.min(raw.length, oldBytes + extraBytes)),
  };
}

async function placeOf(disk: Disk, layout: Superblock, number: number): Promise<number> {
  const { descriptorsAt, descriptorBytes, inodesPerGroup, inodeBytes, blockBytes, blocks, inodes } = layout;
  if (number < 1 || number > inodes) throw damaged(`there is no inode ${number}`);
  const group = Math.floor((number - 1) / inodesPerGroup);
  const descriptor = await disk.read(descriptorsAt + group * descriptorBytes, descriptorBytes);
  const table = descriptor.readUInt32LE(8) + (descriptorBytes >= 64 ? descriptor.readUInt32LE(40) * 2 ** 32 : 0);
  if (table === 0 || table >= blocks) throw damaged(`the inodes of group ${group} are nowhere`);
  return table * blockBytes + ((number - 1) % inodesPerGroup) * inodeBytes;
}

/** Numbers of a device, in either of the forms in which the kernel stores them. */
export function deviceOf({ area }: Inode): { major: number; minor: number } {
  const old = area.readUInt32LE(0);
  if (old !== 0) return { major: (old >> 8) & 0xff, minor: old & 0xff };
  const encoded = area.readUInt32LE(4);
  return { major: (encoded >>> 8) & 0xfff, minor: (encoded & 0xff) | ((encoded >>> 12) & 0xfff00) };
}
