// Files of submodules, for workspaces without git: they become files of the repository that they are in.
import { BangerError } from "../../lib/errors.ts";
import { join } from "node:path";
import { parseIndexEntries, submoduleMode, type IndexEntry } from "../source/git-words.ts";
import { git } from "../source/safe-git.ts";
import { openSource } from "../source/source.ts";
import type { Staging } from "./staging.ts";

/**
 * Names of the tracked files of submodules and of their submodules; the submodules themselves leave the index of the staging.
 * Throws `workspace.failed` for one that was not fetched.
 */
export async function submoduleFiles(
  staging: Staging,
  submodules: readonly IndexEntry[],
  options: { signal: AbortSignal },
): Promise<Buffer[]> {
  const names: Buffer[] = [];
  await staging.setEntries(
    submodules.map(({ name, id }) => ({ name, id: "0".repeat(id.length), mode: 0 })),
    options,
  );
  for (const { name } of submodules) await add(staging, name, names, options);
  return names;
}

async function add(staging: Staging, prefix: Buffer, names: Buffer[], options: { signal: AbortSignal }): Promise<void> {
  const path = join(staging.workTree, prefix.toString());
  const source = await openSource(path, options);
  if (source.root === staging.workTree) {
    throw new BangerError("workspace.failed", `the submodule "${prefix.toString()}" was not fetched`, {
      hint: `git -C ${staging.workTree} submodule update --init --recursive`,
    });
  }
  const env = { ...staging.environment, GIT_INDEX_FILE: source.indexFile };
  const { stdout } = await git(["ls-files", "-s", "-t", "-z"], env, { cwd: staging.workTree, ...options });
  for (const { mode, name, skipped } of parseIndexEntries(stdout)) {
    const full = Buffer.concat([prefix, Buffer.from("/"), name]);
    if (mode === submoduleMode) await add(staging, full, names, options);
    else if (!skipped) names.push(full);
  }
}
