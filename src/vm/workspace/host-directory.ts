// Where the host keeps what it knows of a VM's workspace, and what is left of that when something came in between.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import { removeInside } from "../../lib/files.ts";

/** A VM's directory, and what its record says of its workspace. */
export interface WorkspaceOwner {
  dir: string;
  workspace: WorkspaceRecord | null;
}

/**
 * A directory below the VM's own, so it goes with the VM. Each prepare has one of its own, which the record names: the record's change is
 * the instant at which the VM gets another one.
 */
export function hostDirectory(dir: string, { preparedAt }: Pick<WorkspaceRecord, "preparedAt">): string {
  return join(dir, `${prefix}${preparedAt}`);
}

const prefix = "workspace-";
const suffix = ".new";

/** A name for one that is being made, or removed; `unique` tells it from others. */
export function unfinishedDirectory(dir: string, unique: string): string {
  return join(dir, `${prefix}${unique}${suffix}`);
}

/**
 * Removes all but the one that the record names. To be called while nobody prepares this VM; with `made` nothing that somebody may be
 * making is removed, so that it can be called at any time.
 */
export async function removeOthers({ dir, workspace }: WorkspaceOwner, which: "all" | "made"): Promise<void> {
  const own = workspace === null ? undefined : hostDirectory(dir, workspace);
  for (const entry of await readdir(dir).catch(() => [])) {
    const path = join(dir, entry);
    if (!entry.startsWith(prefix) || path === own) continue;
    if (which === "all" || !entry.endsWith(suffix)) await removeInside(dir, path);
  }
}
