// The file tree of an image while it is read: tar entries go in, and it decides what each of them means. It exists in
// memory only, so no path in an archive can touch the host.
import { storedXattrs } from "./ext4/xattr.ts";
import { TarError } from "./tar/header.ts";
import type { TarEntry } from "./tar/reader.ts";

/** Where a file's data lies in the image: one run of blocks. */
export interface DataRun {
  firstBlock: number;
  blocks: number;
}

interface Attributes {
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  xattrs: ReadonlyMap<string, Buffer>;
}

export type TreeNode = Attributes &
  (
    | { type: "directory"; children: Map<string, TreeNode> }
    | { type: "file"; sizeBytes: number; data: DataRun; links: number }
    | { type: "symlink"; target: string; links: number }
    | { type: "character" | "block"; major: number; minor: number; links: number }
    | { type: "fifo"; links: number }
  );
export type DirectoryNode = Extract<TreeNode, { type: "directory" }>;

const maxNameBytes = 255;
const maxPathBytes = 4095;
const maxLinks = 65_000;
const maxSymlinksFollowed = 40;

export function newDirectory(attributes: Partial<Attributes> = {}): DirectoryNode {
  const base = { mode: 0o755, uid: 0, gid: 0, mtimeSeconds: 0, mtimeNanoseconds: 0, xattrs: new Map<string, Buffer>() };
  return { ...base, ...attributes, type: "directory", children: new Map() };
}

/**
 * Puts an entry into the tree; `data` is where its content lies, for files. Returns how many directories were made on the way to
 * it. Throws TarError when it cannot be there.
 */
export function addEntry(root: DirectoryNode, entry: TarEntry, data: DataRun): number {
  const components = split(entry.path);
  const name = components.pop();
  if (name === undefined) {
    if (entry.type === "directory") Object.assign(root, attributesOf(entry));
    return 0;
  }
  const { directory: parent, made } = walk(root, components, entry.path, true);
  addTo(parent, name, root, entry, data);
  return made;
}

function addTo(parent: DirectoryNode, name: string, root: DirectoryNode, entry: TarEntry, data: DataRun): void {
  const present = parent.children.get(name);
  if (entry.type === "directory") {
    if (present?.type === "directory") Object.assign(present, attributesOf(entry));
    else place(parent, name, newDirectory(attributesOf(entry)));
    return;
  }
  const node = entry.type === "hardlink" ? linkTarget(root, entry) : newNode(entry, data);
  if (node === present) return;
  if (present?.type === "directory")
    throw new TarError(`"${entry.path}" comes again as something else than a directory`);
  node.links++;
  if (node.links > maxLinks) throw new TarError(`"${entry.linkPath}" has more than ${maxLinks} hard links`);
  place(parent, name, node);
}

function place(parent: DirectoryNode, name: string, node: TreeNode): void {
  const before = parent.children.get(name);
  if (before !== undefined && before.type !== "directory") before.links--;
  parent.children.set(name, node);
}

function newNode(entry: TarEntry, data: DataRun): Exclude<TreeNode, DirectoryNode> {
  const attributes = { ...attributesOf(entry), links: 0 };
  switch (entry.type) {
    case "file":
      return { ...attributes, type: "file", sizeBytes: entry.sizeBytes, data };
    case "symlink":
      if (entry.linkPath === "" || entry.linkPath.length > maxPathBytes || entry.linkPath.includes("\0")) {
        throw new TarError(`symbolic link "${entry.path}" has an impossible target`);
      }
      return { ...attributes, type: "symlink", mode: 0o777, target: entry.linkPath };
    case "character":
    case "block":
      if (entry.major > 0xfff || entry.minor > 0xfffff)
        throw new TarError(`device "${entry.path}" has impossible numbers`);
      return { ...attributes, type: entry.type, major: entry.major, minor: entry.minor };
    default:
      return { ...attributes, type: "fifo" };
  }
}

function attributesOf({ mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs, path }: TarEntry): Attributes {
  for (const id of [uid, gid]) {
    if (!Number.isInteger(id) || id < 0 || id > 0xffff_fffe) throw new TarError(`"${path}" has an impossible owner`);
  }
  return { mode, uid, gid, mtimeSeconds, mtimeNanoseconds, xattrs: storedXattrs(xattrs, path) };
}

function linkTarget(root: DirectoryNode, entry: TarEntry): Exclude<TreeNode, DirectoryNode> {
  const components = split(entry.linkPath);
  const name = components.pop();
  const node = name === undefined ? root : walk(root, components, entry.linkPath, false).directory.children.get(name);
  if (node === undefined || node.type === "directory") {
    throw new TarError(`hard link "${entry.path}" names "${entry.linkPath}", which is no file of this archive`);
  }
  return node;
}

/** Components of a path below the image's root. A leading "/" means that root; ".." is refused. */
function split(path: string): string[] {
  if (path.length > maxPathBytes)
    throw new TarError(`a path is longer than ${maxPathBytes} bytes: "${path.slice(0, 80)}…"`);
  const components = path.split("/").filter((component) => component !== "" && component !== ".");
  for (const component of components) {
    if (component === "..") throw new TarError(`path "${path}" leads upwards`);
    if (component.includes("\0")) throw new TarError(`path "${path}" has a zero byte`);
    if (component.length > maxNameBytes)
      throw new TarError(`a name in "${path.slice(0, 80)}…" is longer than 255 bytes`);
  }
  return components;
}

/**
 * The directory at a path. Symbolic links on the way are followed as a process with this root would: absolute ones and
 * ".." never leave it. Missing directories are made when `create` is set, and counted.
 */
function walk(
  root: DirectoryNode,
  components: readonly string[],
  shown: string,
  create: boolean,
): { directory: DirectoryNode; made: number } {
  const todo = components.toReversed();
  const stack = [root];
  let followed = 0;
  let made = 0;
  for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
    const here = stack.at(-1) ?? root;
    if (name === "..") {
      if (stack.length > 1) stack.pop();
      continue;
    }
    let next = here.children.get(name);
    if (next === undefined) {
      if (!create) throw new TarError(`there is no "${shown}" in the archive before the entry that names it`);
      next = newDirectory();
      here.children.set(name, next);
      made++;
    }
    if (next.type === "directory") stack.push(next);
    else if (next.type === "symlink") {
      followed++;
      if (followed > maxSymlinksFollowed) throw new TarError(`"${shown}" goes through too many symbolic links`);
      if (next.target.startsWith("/")) stack.length = 1;
      todo.push(
        ...next.target
          .split("/")
          .filter((part) => part !== "" && part !== ".")
          .toReversed(),
      );
    } else throw new TarError(`"${shown}" goes through "${name}", which is no directory`);
  }
  return { directory: stack.at(-1) ?? root, made };
}
