// Submodules of the host's repository whose files were shipped: what a guest changed in them can go to their work trees, and never into a
// commit of the repository around them.
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import { hostGit, type HostRepository } from "../apply/host-repository.ts";
import type { Change } from "../quarantine/changes.ts";
import type { Quarantine } from "../quarantine/quarantine.ts";
import { showPath } from "../quarantine/show-path.ts";
import { isBelow, parseIndexEntries, submoduleMode, type IndexEntry } from "../source/git-words.ts";
import type { GuestState } from "./guest-state.ts";

export interface Submodules {
  /** Of the repository itself. */
  links: readonly Pick<IndexEntry, "name" | "id">[];
  /** Paths of them and of theirs, from the top, whose work trees are there. Bytes as latin1 text. */
  within: ReadonlySet<string>;
}

export const noSubmodules: Submodules = { links: [], within: new Set() };

/** As the host's index has them. */
export async function submodulesOf({ root }: HostRepository, signal: AbortSignal): Promise<Submodules> {
  const within = new Set<string>();
  const linksOf = async (prefix: string) => {
    const args = ["ls-files", "-s", "-t", "-z"];
    const { stdout } = await hostGit(join(root, Buffer.from(prefix, "latin1").toString()), args, { signal });
    const links = parseIndexEntries(stdout).filter(({ mode }) => mode === submoduleMode);
    for (const { name } of links) {
      const path = join(prefix, name.toString("latin1"));
      // Without a ".git" of its own git would speak of the repository around it.
      if (within.has(path) || !(await isRepository(join(root, Buffer.from(path, "latin1").toString())))) continue;
      within.add(path);
      await linksOf(path);
    }
    return links;
  };
  return { links: await linksOf(""), within };
}

async function isRepository(directory: string): Promise<boolean> {
  try {
    await lstat(join(directory, ".git"));
    return (await lstat(directory)).isDirectory();
  } catch {
    return false;
  }
}

/** How many files were changed in each; those without changes are not among them. */
export function changedSubmodules(
  { links }: Submodules,
  changes: readonly Change[],
): { path: string; files: number }[] {
  return links.flatMap(({ name }) => {
    const own = new Set([name.toString("latin1")]);
    const files = changes.filter(({ path }) => isBelow(own, path.toString("latin1"))).length;
    return files === 0 ? [] : [{ path: showPath(name), files }];
  });
}

/** The guest's files as a tree for a commit: with submodules on the commits that they were on. */
export async function treeOfCommit(
  quarantine: Quarantine,
  { tree, start }: Pick<GuestState, "tree" | "start">,
  { links }: Submodules,
  signal: AbortSignal,
): Promise<string> {
  if (links.length === 0) return tree;
  const known = new Map<string, string>();
  if (start !== undefined) {
    const limit = { signal, maxOutputBytes: 256 * 1024 * 1024 };
    const { stdout } = await quarantine.git(["ls-tree", "-r", "-z", "--full-tree", start], limit);
    for (const line of stdout.toString("latin1").split("\0")) {
      const [, id = "", path = ""] = /^160000 commit ([0-9a-f]+)\t([^]*)$/.exec(line) ?? [];
      if (id !== "") known.set(path, id);
    }
  }
  const entries = links.map(({ name, id }) => ({ path: name, id: known.get(name.toString("latin1")) ?? id }));
  return await quarantine.treeWithLinks(tree, entries, signal);
}
