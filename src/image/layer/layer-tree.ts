// Applies the entries of layers, from the lowest up, to the tree of an image.
import type { Extent } from "../ext4/extents.ts";
import { TarError } from "../tar/header.ts";
import type { TarEntry } from "../tar/reader.ts";
import { attributesOf, newDirectory, newNode, place, remove, resetAttributes, vacate } from "../tree.ts";
import type { DirectoryNode, FileNode, Reclaim } from "../tree.ts";
import { shownPath, splitPath } from "./path.ts";
import { Walker } from "./walk.ts";
import { isReserved, meaningOf } from "./whiteout.ts";

export interface LayerRules {
  /** Whether names that begin with ".wh." delete; without, they are names like others. */
  whiteouts: boolean;
  /** Whether ".." in a path is refused, or resolved inside the root with a warning. */
  upwards: "refuse" | "clamp";
  /** Deepest directory. */
  maxDepth: number;
}

/** Told what is worth a warning. */
export type Warn = (message: string) => void;

export class LayerTree {
  readonly root = newDirectory();
  /** Directories that were made because paths go through them. */
  impliedDirectories = 0;
  readonly #rules: LayerRules;
  readonly #warn: Warn;
  readonly #walker: Walker;
  readonly #reclaim: Reclaim;
  /** Names that this layer has put into directories. */
  #fresh = new Map<DirectoryNode, Set<string>>();
  /** Directories in which nothing is left from the layers below. */
  #cleared = new Set<DirectoryNode>();

  /** `reclaim` is told where data lay that no file has any more. */
  constructor(rules: LayerRules, warn: Warn, reclaim: Reclaim = () => {}) {
    this.#rules = rules;
    this.#warn = warn;
    this.#reclaim = reclaim;
    const onMade = (parent: DirectoryNode, name: string) => {
      if (rules.whiteouts && isReserved(name)) throw new TarError("its path goes through a link to a whiteout's name");
      this.impliedDirectories++;
      this.#markFresh(parent, name);
    };
    this.#walker = new Walker(this.root, rules.maxDepth, onMade, reclaim);
  }

  /** From here on, entries belong to the next layer. */
  beginLayer(): void {
    this.#fresh = new Map();
    this.#cleared = new Set();
  }

  /**
   * Puts an entry into the tree. `content` is called when the entry's data is wanted, and tells where it was stored. Throws
   * TarError when the entry cannot be there.
   */
  async apply(entry: TarEntry, content: () => Promise<readonly Extent[]>): Promise<void> {
    const components = this.#split(entry.path);
    const meaning = this.#rules.whiteouts ? meaningOf(components) : ({ kind: "file" } as const);
    if (meaning.kind === "ignored") return;
    const name = components.pop();
    if (name === undefined) {
      if (entry.type !== "directory") throw new TarError("it has the path of the root and is no directory");
      Object.assign(this.root, attributesOf(entry));
      return;
    }
    if (meaning.kind !== "file") {
      const directory = this.#walker.find(components);
      if (directory === undefined) return;
      if (meaning.kind === "opaque") this.#clear(directory);
      else this.#hide(directory, meaning.name);
      return;
    }
    if (entry.type === "directory") return this.#applyDirectory(components, name, entry);
    if (entry.type === "hardlink") return this.#applyLink(components, name, entry);
    // Before its content is stored, which then fits where the old one was.
    if (entry.type === "file") vacate(this.#walker.find(components)?.children.get(name), this.#reclaim);
    const node = newNode(entry, await content());
    const parent = this.#walker.make(components);
    place(parent, name, node, this.#reclaim);
    this.#markFresh(parent, name);
  }

  #applyLink(components: readonly string[], name: string, entry: TarEntry): void {
    const node = this.#linkTarget(entry);
    // The parents may be made where the target is: it is held meanwhile, or its data would be reclaimed.
    node.links++;
    const parent = this.#walker.make(components);
    node.links--;
    place(parent, name, node, this.#reclaim);
    this.#markFresh(parent, name);
  }

  #applyDirectory(components: readonly string[], name: string, entry: TarEntry): void {
    const attributes = attributesOf(entry);
    const parent = this.#walker.make(components);
    const present = parent.children.get(name);
    if (present?.type === "directory") Object.assign(present, attributes);
    else {
      if (components.length + 2 > this.#rules.maxDepth) {
        throw new TarError(`it is deeper than ${this.#rules.maxDepth} directories`);
      }
      place(parent, name, newDirectory(attributes), this.#reclaim);
    }
    this.#markFresh(parent, name);
  }

  #split(path: string): string[] {
    return splitPath(path, () => {
      if (this.#rules.upwards === "refuse") throw new TarError("its path leads upwards");
      this.#warn('".." in its path was resolved inside the image');
    });
  }

  #linkTarget(entry: TarEntry): FileNode {
    const components = this.#split(entry.linkPath);
    const name = components.pop();
    const node = name === undefined ? this.root : this.#walker.find(components)?.children.get(name);
    if (node === undefined)
      throw new TarError(`it is a hard link, and there is no ${shownPath(entry.linkPath)} before it`);
    if (node.type === "directory") {
      throw new TarError(`it is a hard link to ${shownPath(entry.linkPath)}, which is no file`);
    }
    return node;
  }

  #markFresh(parent: DirectoryNode, name: string): void {
    const names = this.#fresh.get(parent);
    if (names === undefined) this.#fresh.set(parent, new Set([name]));
    else names.add(name);
  }

  /** Takes a name of the layers below away; what this layer has put there stays. */
  #hide(parent: DirectoryNode, name: string): void {
    const node = parent.children.get(name);
    const isFresh = this.#fresh.get(parent)?.has(name) === true;
    if (node?.type === "directory") {
      this.#clear(node);
      if (isFresh) return;
      // It is there for what this layer has in it only, and no entry of this layer describes it.
      if (node.children.size > 0) {
        resetAttributes(node);
        this.#markFresh(parent, name);
        return;
      }
    }
    if (!isFresh) remove(parent, name, this.#reclaim);
  }

  /** Takes all that layers below have in a directory away. */
  #clear(directory: DirectoryNode): void {
    // Once in a layer is enough, and keeps the work in bounds whatever the number of markers.
    if (this.#cleared.has(directory)) return;
    this.#cleared.add(directory);
    for (const name of directory.children.keys()) this.#hide(directory, name);
  }
}
