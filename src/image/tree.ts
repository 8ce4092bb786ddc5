// The file tree of an image while its layers are read. It exists in memory only, so no path in a layer can touch the host.
import type { Extent } from "./ext4/extents.ts";
import { noXattrs, storedXattrs } from "./ext4/xattr.ts";
import type { Xattrs } from "./ext4/xattr.ts";
import { TarError } from "./tar/header.ts";
import type { TarEntry } from "./tar/reader.ts";

interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  xattrs: Xattrs;
}

export type TreeNode = Attributes &
  (
    | { type: "directory"; children: Map<string, TreeNode> }
    | { type: "file"; sizeBytes: number; extents: readonly Extent[]; links: number }
    | { type: "symlink"; target: string; links: number }
    | { type: "character" | "block"; major: number; minor: number; links: number }
    | { type: "fifo"; links: number }
  );
export type DirectoryNode = Extract<TreeNode, { type: "directory" }>;
export type FileNode = Exclude<TreeNode, DirectoryNode>;

const maxTargetBytes = 4095;
const maxLinks = 65_000;

/** What a directory has that no entry describes. */
const impliedAttributes: Attributes = {
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  xattrs: noXattrs,
};

export function newDirectory(attributes: Attributes = impliedAttributes): DirectoryNode {
  return { ...attributes, type: "directory", children: new Map() };
}

/** Forgets what an entry said of a directory. */
export function resetAttributes(directory: DirectoryNode): void {
  Object.assign(directory, impliedAttributes);
}

/** Told where the data of a file lay that has no name any more. */
export type Reclaim = (extents: readonly Extent[]) => void;

/** Puts a node in the place of whatever has that name, with all that is in it. Throws TarError at too many hard links. */
export function place(parent: DirectoryNode, name: string, node: TreeNode, reclaim: Reclaim): void {
  const before = parent.children.get(name);
  if (before === node) return;
  if (node.type !== "directory") {
    if (node.links === maxLinks) throw new TarError(`what it links to has more than ${maxLinks} hard links`);
    node.links++;
  }
  if (before !== undefined) release(before, reclaim);
  parent.children.set(name, node);
}

/** Takes a name, and all that is below it, out of a directory. */
export function remove(parent: DirectoryNode, name: string, reclaim: Reclaim): void {
  const node = parent.children.get(name);
  if (node === undefined) return;
  parent.children.delete(name);
  release(node, reclaim);
}

/** Takes the data of a file away that is about to be replaced, and has no other name. */
export function vacate(node: TreeNode | undefined, reclaim: Reclaim): void {
  if (node?.type !== "file" || node.links > 1) return;
  reclaim(node.extents);
  node.extents = [];
}

function release(node: TreeNode, reclaim: Reclaim): void {
  const todo = [node];
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    if (next.type === "directory") {
      for (const child of next.children.values()) todo.push(child);
    } else if (--next.links === 0 && next.type === "file") reclaim(next.extents);
  }
}

/** The node for an entry that is neither a directory nor a hard link. `extents`: where a file's data lies. */
export function newNode(entry: TarEntry, extents: readonly Extent[]): FileNode {
  const attributes = { ...attributesOf(entry), links: 0 };
  switch (entry.type) {
    case "file":
      return { ...attributes, type: "file", sizeBytes: entry.sizeBytes, extents };
    case "symlink":
      if (entry.linkPath === "" || entry.linkPath.length > maxTargetBytes || entry.linkPath.includes("\0")) {
        throw new TarError("it is a symbolic link with an impossible target");
      }
      return { ...attributes, type: "symlink", mode: 0o777, target: entry.linkPath };
    case "character":
    case "block":
      if (!isWithin(entry.major, 0xfff) || !isWithin(entry.minor, 0xfffff)) {
        throw new TarError("it is a device with impossible numbers");
      }
      return { ...attributes, type: entry.type, major: entry.major, minor: entry.minor };
    default:
      return { ...attributes, type: "fifo" };
  }
}

/** What an entry says besides its type and place. Throws TarError for what no file system can have. */
export function attributesOf(entry: TarEntry): Attributes {
  const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds } = entry;
  if (!isWithin(uid, 0xffff_fffe) || !isWithin(gid, 0xffff_fffe)) throw new TarError("it has an impossible owner");
  const xattrs = storedXattrs(entry.xattrs, entry.aclTexts);
  return { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs };
}

function isWithin(value: number, highest: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= highest;
}
