// How far back the history goes that is shipped.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Staging } from "./staging.ts";

/** Commits on each line of history in a shallow workspace, as `git clone --depth 10` has it. */
export const shallowDepth = 10;

/**
 * Cuts the history of the staging `shallowDepth` commits behind the tips. Returns the content of the file "shallow", which the guest
 * needs too; empty when the history ends by itself.
 */
export async function cutHistory(
  staging: Staging,
  tips: readonly string[],
  options: { signal: AbortSignal },
): Promise<string> {
  const seen = new Set<string>(tips);
  const cut: string[] = [];
  let level = [...seen];
  for (let depth = 1; level.length > 0; depth++) {
    const output = await staging.git(["rev-list", "--no-walk=unsorted", "--parents", "--stdin"], {
      input: `${level.join("\n")}\n`,
      ...options,
    });
    const next: string[] = [];
    for (const line of output.toString().trim().split("\n")) {
      const [commit = "", ...parents] = line.split(" ");
      const older = parents.filter((parent) => !seen.has(parent));
      if (depth === shallowDepth) {
        if (parents.length > 0) cut.push(commit);
        continue;
      }
      for (const parent of older) {
        seen.add(parent);
        next.push(parent);
      }
    }
    level = depth === shallowDepth ? [] : next;
  }
  // Where the user's own clone ends, the parents were not told.
  const ends = await ownEnds(staging, seen);
  const text = [...new Set([...cut, ...ends])].map((commit) => `${commit}\n`).join("");
  await writeFile(join(staging.gitDir, "shallow"), text);
  return text;
}

async function ownEnds(staging: Staging, seen: ReadonlySet<string>): Promise<string[]> {
  return (await shallowFile(staging)).split("\n").filter((commit) => seen.has(commit));
}

/** The content of the staging's file "shallow"; empty when there is none. */
export async function shallowFile(staging: Staging): Promise<string> {
  return await readFile(join(staging.gitDir, "shallow"), "utf8").catch(() => "");
}
