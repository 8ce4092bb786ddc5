// The tree of files of which some were only written to, made of the tree before it: what a sync after a save needs, in two short programs of
// git beside one another, where its index of all files would be read and written several times.
import { createHash, randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { deflate } from "node:zlib";
import type { FileChange } from "../source/git-words.ts";
import { insideOf, type Staging } from "./staging.ts";

/** With more the index is as fast. */
const maxEdited = 16;
const slash = 0x2f;
const newline = 0x0a;
const quote = 0x22;

export interface EditedTree {
  tree: string;
  changes: FileChange[];
  /** Ids of the new objects. */
  objects: string[];
}

/**
 * `names`: of files of the tree that may have another content now. Undefined when one of them is more than that (gone, another type or
 * mode, new), or too many: then the index tells.
 */
export async function treeOfEdited(
  staging: Staging,
  baseTree: string,
  names: readonly Buffer[],
  options: { signal: AbortSignal },
): Promise<EditedTree | undefined> {
  if (names.length === 0 || names.length > maxEdited) return undefined;
  if (!names.every(isPlain) || !names.every(insideOf(staging.workTree))) return undefined;
  const modes = names.map((name) => modeOf(staging.workTree, name));
  if (modes.includes(undefined)) return undefined;
  const trees = new Map<string, Tree>();
  for (const name of names) for (const path of directoriesAbove(name)) trees.set(path, empty);
  const paths = [...trees.keys()];
  const [ids, contents] = await Promise.all([hash(staging, names, options), read(staging, baseTree, paths, options)]);
  if (ids === undefined || contents === undefined) return undefined;
  // git follows a link that took a file's place meanwhile: what it leads to is not the repository's, and must not be shipped.
  if (names.some((name, at) => modeOf(staging.workTree, name) !== modes[at])) return undefined;
  for (const [at, path] of paths.entries()) trees.set(path, contents[at] ?? empty);
  const entryOf = (path: string) => {
    const [directory, last] = split(path);
    return find(trees.get(directory)?.content ?? empty.content, last, baseTree.length / 2);
  };
  const changes: FileChange[] = [];
  for (const [at, path] of names.entries()) {
    const entry = entryOf(key(path));
    const [newMode = 0, newId = ""] = [modes[at], ids[at]];
    if (entry?.mode !== newMode) return undefined;
    const oldId = entry.id.toString("hex");
    if (newId !== oldId) changes.push({ path, oldMode: newMode, newMode, oldId, newId });
    entry.id.write(newId, "hex");
  }
  const objects = new Set(changes.map(({ newId }) => newId));
  // The deepest first: each has its new id before the one above it is summed up.
  let tree = baseTree;
  for (const path of paths.toSorted((one, other) => depth(other) - depth(one))) {
    const { content, id: before } = trees.get(path) ?? empty;
    const { id, object } = treeObject(content, baseTree.length === 64 ? "sha256" : "sha1");
    if (id === before) continue;
    objects.add(id);
    await writeObject(join(staging.gitDir, "objects"), id, object);
    if (path === "") tree = id;
    else entryOf(path)?.id.write(id, "hex");
  }
  return { tree, changes, objects: [...objects] };
}

interface Tree {
  id: string;
  /** Changed in place. */
  content: Buffer;
}

const empty: Tree = { id: "", content: Buffer.alloc(0) };
const key = (name: Buffer) => name.toString("latin1");
const depth = (path: string) => (path === "" ? 0 : path.split("/").length);

/** Names that git takes one on a line as they are. */
function isPlain(name: Buffer): boolean {
  return name.length > 0 && name[0] !== quote && !name.includes(newline);
}

/** Of a regular file, as git writes it. */
function modeOf(root: string, name: Buffer): number | undefined {
  const info = lstatSync(Buffer.concat([Buffer.from(`${root}/`), name]), { throwIfNoEntry: false });
  if (info?.isFile() !== true) return undefined;
  return (info.mode & 0o100) === 0 ? 0o100644 : 0o100755;
}

/** "" is the root. Bytes as latin1 text. */
function directoriesAbove(name: Buffer): string[] {
  const found = [""];
  for (let at = name.indexOf(slash); at !== -1; at = name.indexOf(slash, at + 1))
    found.push(name.toString("latin1", 0, at));
  return found;
}

function split(path: string): [directory: string, last: string] {
  const at = path.lastIndexOf("/");
  return [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
}

/** Makes objects of files as git converts them (line ends); their ids. Undefined when it fails: one may have gone meanwhile. */
async function hash(
  staging: Staging,
  names: readonly Buffer[],
  options: { signal: AbortSignal },
): Promise<string[] | undefined> {
  try {
    const output = await staging.git(["hash-object", "-w", "--stdin-paths"], { input: lines(names), ...options });
    return output.toString().trimEnd().split("\n");
  } catch {
    options.signal.throwIfAborted();
    return undefined;
  }
}

/** Undefined when one of them is no tree. */
async function read(
  staging: Staging,
  tree: string,
  paths: readonly string[],
  options: { signal: AbortSignal },
): Promise<Tree[] | undefined> {
  const asked = paths.map((path) => Buffer.from(`${tree}:${path}`, "latin1"));
  const output = await staging.git(["cat-file", "--batch"], { input: lines(asked), ...options });
  const found: Tree[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(newline, at);
    const [id = "", type, size] = output.toString("latin1", at, end).split(" ");
    if (type !== "tree") return undefined;
    const sizeBytes = Number(size);
    found.push({ id, content: output.subarray(end + 1, end + 1 + sizeBytes) });
    at = end + 1 + sizeBytes + 1;
  }
  return found.length === paths.length ? found : undefined;
}

function lines(names: readonly Buffer[]): Buffer {
  return Buffer.concat(names.flatMap((name) => [name, Buffer.from("\n")]));
}

/** An entry of a tree; its id is a part of the tree's own memory. */
function find(content: Buffer, name: string, idBytes: number): { mode: number; id: Buffer } | undefined {
  for (let at = 0; at < content.length;) {
    const space = content.indexOf(0x20, at);
    const zero = content.indexOf(0, space);
    if (space === -1 || zero === -1) return undefined;
    if (content.toString("latin1", space + 1, zero) === name) {
      const mode = Number.parseInt(content.toString("latin1", at, space), 8);
      return { mode, id: content.subarray(zero + 1, zero + 1 + idBytes) };
    }
    at = zero + 1 + idBytes;
  }
  return undefined;
}

function treeObject(content: Buffer, algorithm: string): { id: string; object: Buffer } {
  const object = Buffer.concat([Buffer.from(`tree ${content.length}\0`), content]);
  return { id: createHash(algorithm).update(object).digest("hex"), object };
}

const compress = promisify(deflate);

/** As a file of its own, as git does. */
async function writeObject(objects: string, id: string, object: Buffer): Promise<void> {
  const target = join(objects, id.slice(0, 2), id.slice(2));
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const unfinished = join(dirname(target), `tmp_obj_${randomBytes(4).toString("hex")}`);
  try {
    await writeFile(unfinished, await compress(object, { level: 1 }), { mode: 0o444, flag: "wx" });
    await rename(unfinished, target);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
}
