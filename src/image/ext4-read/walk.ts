// All files of an ext4 file system, directories before what is in them, names in the order of their bytes. Whatever the file
// says, the walk ends, and never has more than one directory's names of each level in memory.
import { contentOf } from "./content.ts";
import { damaged, Disk } from "./disk.ts";
import { deviceOf, type Inode, readInode } from "./inode.ts";
import { readSuperblock, type Superblock } from "./superblock.ts";
import { xattrsOf } from "./xattrs.ts";
import type { FileHandle } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";

export interface Ext4Entry extends Inode {
  /** Bytes as latin1 text, without a slash in front; empty for the root. */
  path: string;
  /** An earlier path of the same file. */
  linkTo: string | undefined;
  /** Of a symbolic link. */
  target: string;
  major: number;
  minor: number;
  xattrs: Map<string, Buffer>;
  /** Of a file: `sizeBytes` in pieces. */
  content(): AsyncGenerator<Buffer>;
}

const rootInode = 2;
/** Files between two turns of the event loop. */
const turn = 64;
const longestPath = 16 * 1024;
const longestTarget = 4096;
const largestDirectory = 512 * 1024 * 1024;

/** The file stays the caller's. Throws `image.invalid`. */
export async function* walkExt4(file: FileHandle, signal: AbortSignal): AsyncGenerator<Ext4Entry> {
  const disk = new Disk(file);
  const layout = await readSuperblock(disk);
  const directories = new Set<number>();
  const linked = new Map<number, string>();
  const waiting: { path: string; number: number }[] = [{ path: "", number: rootInode }];
  for (let next = waiting.pop(), count = 1; next !== undefined; next = waiting.pop(), count++) {
    // What is in memory already would never let the event loop go on.
    if (count % turn === 0) await setImmediate();
    signal.throwIfAborted();
    const { path, number } = next;
    const inode = await readInode(disk, layout, number);
    const linkTo = linked.get(number);
    if (inode.type === "directory") {
      if (directories.has(number)) throw damaged(`the directory of inode ${number} has more than one name`);
      directories.add(number);
      const names = await namesIn(disk, layout, inode);
      // The last one is taken first.
      for (const child of names.toReversed()) {
        const childPath = path === "" ? child.name : `${path}/${child.name}`;
        if (childPath.length > longestPath) throw damaged("its directories are too deep");
        waiting.push({ path: childPath, number: child.number });
      }
      // Every ext4 has it, and nobody put it there.
      if (path === "lost+found" && names.length === 0) continue;
    } else if (inode.links > 1 && linkTo === undefined) linked.set(number, path);
    yield await entryOf(disk, layout, inode, path, linkTo);
  }
}

async function entryOf(
  disk: Disk,
  layout: Superblock,
  inode: Inode,
  path: string,
  linkTo: string | undefined,
): Promise<Ext4Entry> {
  const isDevice = inode.type === "character" || inode.type === "block";
  return {
    ...inode,
    path,
    linkTo,
    target: inode.type === "symlink" ? await targetOf(disk, layout, inode) : "",
    ...(isDevice ? deviceOf(inode) : { major: 0, minor: 0 }),
    xattrs: await xattrsOf(disk, layout, inode),
    content: () => contentOf(disk, layout, inode),
  };
}

async function targetOf(disk: Disk, layout: Superblock, inode: Inode): Promise<string> {
  const { sizeBytes, usesExtents, area, number } = inode;
  if (sizeBytes > longestTarget) throw damaged(`the link of inode ${number} is too long`);
  if (!usesExtents) {
    if (sizeBytes > area.length) throw damaged(`the link of inode ${number} is damaged`);
    return area.toString("latin1", 0, sizeBytes);
  }
  const pieces: Buffer[] = [];
  for await (const piece of contentOf(disk, layout, inode)) pieces.push(piece);
  return Buffer.concat(pieces).toString("latin1");
}

async function namesIn(disk: Disk, layout: Superblock, inode: Inode): Promise<{ name: string; number: number }[]> {
  if (inode.sizeBytes > largestDirectory) throw damaged(`the directory of inode ${inode.number} is too large`);
  const found: { name: string; number: number }[] = [];
  const { blockBytes } = layout;
  for await (const piece of contentOf(disk, layout, inode)) {
    // Blocks of a hashed index look like blocks without names.
    for (let block = 0; block < piece.length; block += blockBytes) {
      for (let at = block; at + 8 <= block + blockBytes && at + 8 <= piece.length;) {
        const number = piece.readUInt32LE(at);
        const recordBytes = piece.readUInt16LE(at + 4) || blockBytes;
        const end = at + 8 + piece.readUInt8(at + 6);
        if (recordBytes < 8 || recordBytes % 4 !== 0 || at + recordBytes > block + blockBytes || end > piece.length) {
          throw damaged(`the directory of inode ${inode.number} is damaged`);
        }
        const name = piece.toString("latin1", at + 8, end);
        if (/[/\0]/.test(name)) throw damaged(`a name in the directory of inode ${inode.number} is impossible`);
        if (number !== 0 && name !== "" && name !== "." && name !== "..") found.push({ name, number });
        at += recordBytes;
      }
    }
  }
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}
