// Finds directories in a tree of an image as a process would whose root it is: links are followed and never lead outside.
import { TarError } from "../tar/header.ts";
import { newDirectory, place } from "../tree.ts";
import type { DirectoryNode, Reclaim } from "../tree.ts";

const maxSymlinksFollowed = 40;
/** Steps of all walks together; without a bound, short names that go through long links would cost hours. */
const maxSteps = 500_000_000;

export class Walker {
  readonly #root: DirectoryNode;
  readonly #maxDepth: number;
  readonly #onMade: (parent: DirectoryNode, name: string) => void;
  readonly #reclaim: Reclaim;
  #steps = 0;

  /** `onMade` is told of each directory that is about to be made on the way, and may throw. */
  constructor(
    root: DirectoryNode,
    maxDepth: number,
    onMade: (parent: DirectoryNode, name: string) => void,
    reclaim: Reclaim,
  ) {
    this.#root = root;
    this.#reclaim = reclaim;
    this.#maxDepth = maxDepth;
    this.#onMade = onMade;
  }

  /** The directory at a path; undefined when there is none. */
  find(components: readonly string[]): DirectoryNode | undefined {
    return this.#walk(components, false);
  }

  /** The same, but what is missing is made, and what is neither a directory nor a link gives way to one. */
  make(components: readonly string[]): DirectoryNode {
    return this.#walk(components, true) ?? this.#root;
  }

  #walk(components: readonly string[], create: boolean): DirectoryNode | undefined {
    const todo = components.toReversed();
    const stack = [this.#root];
    let followed = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (++this.#steps > maxSteps) throw new TarError("the paths of the archive take too many steps to follow");
      const here = stack.at(-1) ?? this.#root;
      if (name === "..") {
        if (stack.length > 1) stack.pop();
        continue;
      }
      let next = here.children.get(name);
      if (next?.type === "symlink") {
        followed++;
        if (followed > maxSymlinksFollowed) throw new TarError("its path goes through too many symbolic links");
        if (next.target.startsWith("/")) stack.length = 1;
        const parts = next.target.split("/").filter((part) => part !== "" && part !== ".");
        for (const part of parts.toReversed()) todo.push(part);
        continue;
      }
      if (next?.type !== "directory") {
        if (!create) return undefined;
        if (name.length > 255) throw new TarError("its path goes through a link to a name that is too long");
        next = newDirectory();
        this.#onMade(here, name);
        place(here, name, next, this.#reclaim);
      }
      stack.push(next);
      if (stack.length > this.#maxDepth) throw new TarError(`it is deeper than ${this.#maxDepth} directories`);
    }
    return stack.at(-1);
  }
}
