// What layers mean, written as simply as possible: one flat list of paths. Slow, and independent of the tree that is shipped.
import type { TestEntry } from "./archive.ts";

interface ModelNode {
  type: "file" | "directory" | "symlink" | "other";
  /** What the entry said: mode for directories, content or target for others. */
  text: string;
}
interface Place {
  node: ModelNode;
  /** Number of the layer that put it there. */
  layer: number;
}

/** Thrown for an entry that cannot be applied. */
export class Impossible extends Error {}

const implied = "755";
const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

export class LayerModel {
  /** By absolute path without a slash at the end; the root is "". */
  readonly #places = new Map<string, Place>([["", { node: { type: "directory", text: implied }, layer: 0 }]]);
  #layer = 0;

  beginLayer(): void {
    this.#layer++;
  }

  /** Applies an entry, or throws Impossible and changes nothing. Only paths, types, modes and contents are looked at. */
  apply(entry: TestEntry): void {
    const before = new Map(this.#places);
    try {
      this.#apply(entry);
    } catch (error) {
      this.#places.clear();
      for (const [path, place] of before) this.#places.set(path, place);
      throw error;
    }
  }

  #apply({ path, type = "0", link = "", mode = 0o644, data = "" }: TestEntry): void {
    const names = clean(path);
    const name = names.at(-1);
    if (name === ".wh..wh..opq" && !names.slice(0, -1).some((part) => part.startsWith(".wh."))) {
      const directory = this.#walk(names.slice(0, -1), false);
      if (directory !== undefined) this.#deleteBelow(directory);
      return;
    }
    if (names.some((part) => part.startsWith(".wh..wh."))) return;
    if (names.slice(0, -1).some((part) => part.startsWith(".wh."))) throw new Impossible("below a whiteout");
    if (name === undefined) {
      if (type !== "5") throw new Impossible("the root");
      this.#places.set("", { node: { type: "directory", text: mode.toString(8) }, layer: this.#layer });
      return;
    }
    if (name.startsWith(".wh.")) {
      const hidden = name.slice(4);
      if (["", ".", ".."].includes(hidden)) throw new Impossible("whiteout of nothing");
      const directory = this.#walk(names.slice(0, -1), false);
      if (directory !== undefined) this.#delete(`${directory}/${hidden}`);
      return;
    }
    const node = this.#nodeFor(type, link, mode, data);
    const parent = this.#walk(names.slice(0, -1), true) ?? "";
    const at = `${parent}/${name}`;
    const present = this.#places.get(at)?.node;
    if (present === node) return void this.#places.set(at, { node, layer: this.#layer });
    if (!(present?.type === "directory" && node.type === "directory")) this.#drop(at);
    this.#places.set(at, { node, layer: this.#layer });
  }

  #nodeFor(type: string, link: string, mode: number, data: Buffer | string): ModelNode {
    if (type === "5") return { type: "directory", text: mode.toString(8) };
    if (type === "2" && link === "") throw new Impossible("a link to nothing");
    if (type === "2") return { type: "symlink", text: link };
    if (type !== "1") return { type: type === "0" ? "file" : "other", text: type === "0" ? String(data) : type };
    const names = clean(link);
    const directory = this.#walk(names.slice(0, -1), false);
    const target = names.length === 0 ? "" : directory === undefined ? undefined : `${directory}/${names.at(-1)}`;
    const node = target === undefined ? undefined : this.#places.get(target)?.node;
    if (node === undefined || node.type === "directory") throw new Impossible("hard link");
    return node;
  }

  /** The real path of a directory, with links followed inside the root. */
  #walk(names: readonly string[], make: boolean): string | undefined {
    let at = "";
    let rest = [...names];
    for (let followed = 0; rest.length > 0;) {
      const [name = "", ...after] = rest;
      rest = after;
      if (name === "" || name === ".") continue;
      if (name === "..") {
        at = parentOf(at);
        continue;
      }
      const here = `${at}/${name}`;
      const node = this.#places.get(here)?.node;
      if (node?.type === "symlink") {
        if (++followed > 40) throw new Impossible("too many links");
        if (node.text.startsWith("/")) at = "";
        rest = [...node.text.split("/"), ...rest];
        continue;
      }
      if (node?.type !== "directory") {
        if (!make) return undefined;
        if (name.startsWith(".wh.")) throw new Impossible("a link to a whiteout");
        this.#drop(here);
        this.#places.set(here, { node: { type: "directory", text: implied }, layer: this.#layer });
      }
      at = here;
    }
    return at;
  }

  /** Takes away a path and all below it, whoever put it there. */
  #drop(path: string): void {
    for (const other of this.#places.keys())
      if (other === path || other.startsWith(`${path}/`)) this.#places.delete(other);
  }

  /** Takes away what the layers below have put at a path and below it. */
  #delete(path: string): void {
    this.#deleteBelow(path);
    const place = this.#places.get(path);
    if (place === undefined || place.layer === this.#layer) return;
    const isNeeded = [...this.#places.keys()].some((other) => other.startsWith(`${path}/`));
    if (isNeeded) this.#places.set(path, { node: { type: "directory", text: implied }, layer: this.#layer });
    else this.#places.delete(path);
  }

  #deleteBelow(path: string): void {
    // From the deepest: a directory goes when nothing of this layer is left in it.
    const below = [...this.#places.keys()].filter((other) => other.startsWith(`${path}/`));
    for (const other of below.toSorted((a, b) => b.length - a.length)) {
      const place = this.#places.get(other);
      if (place === undefined || place.layer === this.#layer) continue;
      const isNeeded = [...this.#places.keys()].some((path_) => path_.startsWith(`${other}/`));
      if (isNeeded) this.#places.set(other, { node: { type: "directory", text: implied }, layer: this.#layer });
      else this.#places.delete(other);
    }
  }

  /** Every path with what is there; names of one file also say the first of them. */
  list(): Map<string, string> {
    const first = new Map<ModelNode, string>();
    const found = new Map<string, string>();
    for (const [path, { node }] of [...this.#places].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      if (!first.has(node)) first.set(node, path);
      found.set(path, `${node.type} ${node.text}${node.type === "directory" ? "" : ` = ${first.get(node)}`}`);
    }
    return found;
  }
}

/** Components with ".." resolved as text. */
function clean(path: string): string[] {
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names;
}
