// Where the host keeps what it knows of a VM's workspace, and what is left of that when a daemon was killed.
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type { VmRecord } from "../../api/records.ts";
import { removeInside } from "../../lib/files.ts";

/** A directory below the VM's own, so it goes with the VM. Absent until a repository was put into it. */
export function hostDirectory({ dir }: Pick<VmRecord, "dir">): string {
  return join(dir, "workspace");
}

/** A name for one that is being made; `unique` tells it from others. */
export function unfinishedDirectory(record: Pick<VmRecord, "dir">, unique: string): string {
  return `${hostDirectory(record)}-${unique}.new`;
}

/** Removes what a daemon that was killed was making. To be called while nobody prepares this VM. */
export async function removeUnfinished(record: Pick<VmRecord, "dir" | "workspace">): Promise<void> {
  const name = basename(hostDirectory(record));
  for (const entry of await readdir(record.dir).catch(() => [])) {
    const isUnfinished = entry.startsWith(`${name}-`) && entry.endsWith(".new");
    const isUnrecorded = entry === name && record.workspace === null;
    if (isUnfinished || isUnrecorded) await removeInside(record.dir, join(record.dir, entry));
  }
}
