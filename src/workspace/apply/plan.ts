// Decides, file by file, what a guest's changes mean for a work tree that may have gone on: three-way, and conflicts before
// anything is written.
import { readdir } from "node:fs/promises";
import type { Stats } from "node:fs";
import type { Change, EntryMode, TreeEntry } from "../quarantine/changes.ts";
import { HostTree, type HostEntry } from "./host-entry.ts";

/** What is to be done with one path. */
export interface Step {
  path: Buffer;
  /** What must still be there when it is done; undefined: nothing. */
  found: Stats | undefined;
  /** Absent: the path goes. */
  write?: { mode: EntryMode; content: NewContent };
}

/** Content by the id of a blob; the host's own as it is; or the host's own with what changed between two blobs. */
export type NewContent = { blob: string } | "own" | { base: string; theirs: string };

export interface Conflict {
  path: Buffer;
  why: string;
}

export interface ApplyPlan {
  steps: Step[];
  conflicts: Conflict[];
  /** Paths that are already as the guest has them. */
  unchanged: number;
}

/** Compares each change with what the host has now. Contents that both sides changed are left to be merged: `merge`. `within`: as of `HostTree`. */
export async function planApply(
  root: string,
  changes: readonly Change[],
  format: "sha1" | "sha256",
  within?: ReadonlySet<string>,
): Promise<ApplyPlan> {
  const host = new HostTree(root, format, within);
  const byPath = new Map(changes.map((change) => [change.path.toString("latin1"), change]));
  const plan: ApplyPlan = { steps: [], conflicts: [], unchanged: 0 };
  for (const change of changes) {
    const decided = decide(change, await lookThrough(host, change, byPath));
    if (decided === "unchanged") plan.unchanged += 1;
    else if ("why" in decided) plan.conflicts.push(decided);
    else plan.steps.push(decided);
  }
  return plan;
}

/** What the host has, with what stands in the way taken for absent when the guest's changes take it away. */
async function lookThrough(host: HostTree, change: Change, changes: ReadonlyMap<string, Change>): Promise<HostEntry> {
  const found = await host.look(change.path);
  if (found.kind === "blocked" && found.why === "not-a-directory") {
    // A file that goes is gone when the host has a file in place of its directory.
    if (change.after === undefined) return { kind: "absent" };
    const blocking = changes.get(found.by.toString("latin1"));
    return blocking !== undefined && blocking.after === undefined ? { kind: "absent" } : found;
  }
  if (found.kind === "directory" && change.after !== undefined) {
    return (await allGo(host, change.path, changes)) ? { kind: "absent" } : found;
  }
  // A directory under the name of a file that goes: the file is gone already.
  if (found.kind === "directory") return { kind: "absent" };
  return found;
}

/** Whether nothing is left in a directory once the changes are made. */
async function allGo(host: HostTree, directory: Buffer, changes: ReadonlyMap<string, Change>): Promise<boolean> {
  for (const entry of await readdir(host.absolute(directory), { withFileTypes: true, encoding: "buffer" })) {
    const path = Buffer.concat([directory, Buffer.from("/"), entry.name]);
    if (entry.isDirectory() ? !(await allGo(host, path, changes)) : !goes(changes.get(path.toString("latin1")))) {
      return false;
    }
  }
  return true;
}

function goes(change: Change | undefined): boolean {
  return change !== undefined && change.after === undefined;
}

function decide({ path, before, after }: Change, host: HostEntry): Step | Conflict | "unchanged" {
  if (host.kind === "blocked") {
    const why =
      host.why === "other-repository"
        ? "another repository lies there on the host"
        : "a file of the host is in the way";
    return { path, why };
  }
  if (host.kind === "directory") return { path, why: "a directory of the host is in the way" };
  if (host.kind === "special") return { path, why: "the host has something there that is neither a file nor a link" };
  const ours = host.kind === "entry" ? host.entry : undefined;
  const found = host.kind === "entry" ? host.stats : undefined;
  if (same(ours, after)) return "unchanged";
  if (same(ours, before)) {
    return after === undefined
      ? { path, found }
      : { path, found, write: { mode: after.mode, content: { blob: after.id } } };
  }
  if (ours === undefined) return { path, why: after === undefined ? "" : "changed in the guest, deleted on the host" };
  if (after === undefined) return { path, why: "deleted in the guest, changed on the host" };
  if (before === undefined) return { path, why: "added on both sides, with different content" };
  if (![ours, before, after].every(({ mode }) => mode !== "120000")) return { path, why: "changed on both sides" };
  const mode = ours.mode === before.mode ? after.mode : ours.mode;
  if (ours.id === before.id) return { path, found, write: { mode, content: { blob: after.id } } };
  if (after.id === before.id || after.id === ours.id) {
    // Only the mode is the guest's.
    return mode === ours.mode ? "unchanged" : { path, found, write: { mode, content: "own" } };
  }
  return { path, found, write: { mode, content: { base: before.id, theirs: after.id } } };
}

function same(one: TreeEntry | undefined, other: TreeEntry | undefined): boolean {
  return one?.id === other?.id && one?.mode === other?.mode;
}
