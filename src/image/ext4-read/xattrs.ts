// Extended attributes of a file, from the inode itself and from the block beside it, in the form that the system calls give.
import { damaged, type Disk } from "./disk.ts";
import type { Inode } from "./inode.ts";
import type { Superblock } from "./superblock.ts";

const magic = 0xea020000;
const prefixes: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
  7: "system.",
};

/** By their names, as latin1 text. */
export async function xattrsOf(disk: Disk, layout: Superblock, inode: Inode): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  const { extra, xattrBlock } = inode;
  // In an inode, values count from the first entry; in a block, from its start.
  if (extra.length >= 4 && extra.readUInt32LE(0) === magic) readEntries(extra, 4, extra.subarray(4), found);
  if (xattrBlock !== 0) {
    if (xattrBlock >= layout.blocks) throw damaged(`the attributes of inode ${inode.number} are nowhere`);
    const block = await disk.read(xattrBlock * layout.blockBytes, layout.blockBytes);
    if (block.readUInt32LE(0) !== magic) throw damaged(`the attributes of inode ${inode.number} are damaged`);
    readEntries(block, 32, block, found);
  }
  return found;
}

function readEntries(list: Buffer, from: number, values: Buffer, found: Map<string, Buffer>): void {
  for (let at = from; at + 16 <= list.length && list.readUInt32LE(at) !== 0;) {
    const nameLength = list.readUInt8(at);
    const prefix = prefixes[list.readUInt8(at + 1)];
    const valueAt = list.readUInt16LE(at + 2);
    const length = list.readUInt32LE(at + 8);
    const nameEnd = at + 16 + nameLength;
    if (nameEnd > list.length || valueAt + length > values.length || list.readUInt32LE(at + 4) !== 0) {
      throw damaged("an extended attribute is damaged");
    }
    if (prefix !== undefined) {
      const name = prefix + list.toString("latin1", at + 16, nameEnd);
      const value = values.subarray(valueAt, valueAt + length);
      found.set(name, prefix.startsWith("system.posix_acl_") ? aclValue(value) : Buffer.from(value));
    }
    at = nameEnd + ((4 - (nameLength % 4)) % 4);
  }
}

/** From the form that ext4 stores, where nameless entries are short, to that of system calls. */
function aclValue(stored: Buffer): Buffer {
  const parts = [Buffer.from([2, 0, 0, 0])];
  for (let at = 4; at + 4 <= stored.length;) {
    const tag = stored.readUInt16LE(at);
    const isNamed = tag === 0x02 || tag === 0x08;
    if (isNamed && at + 8 > stored.length) throw damaged("an access control list is damaged");
    const part = Buffer.alloc(8, 0xff);
    stored.copy(part, 0, at, at + (isNamed ? 8 : 4));
    parts.push(part);
    at += isNamed ? 8 : 4;
  }
  return Buffer.concat(parts);
}
