// The state of one guest's workspace, in a quarantine: which trees are compared, and what differs between them.
import { BangerError } from "../../lib/errors.ts";
import type { WorkspaceRecord } from "../../api/workspace-record.ts";
import { parseChanges, refused, type Change } from "../quarantine/changes.ts";
import { emptyTree, type Quarantine } from "../quarantine/quarantine.ts";
import { collect, type RunInGuest } from "./collect.ts";

export interface GuestState {
  /** Tree that the changes are against: of what was shipped, unless a base was named. */
  baseTree: string;
  /** Tree of the guest's files as they are. */
  tree: string;
  /** Commit that the guest is on; undefined when it has no repository or no commit. */
  head: string | undefined;
  /** Commit of the host that the guest's history begins with; undefined when it had none. */
  start: string | undefined;
  branch: string | undefined;
  /** Every one of them checked. */
  changes: Change[];
  /** Sentences about what is not as expected. */
  notes: string[];
}

export interface GuestStateRequest {
  /** Name of the VM, for messages. */
  vm: string;
  workspace: WorkspaceRecord;
  /** Commit to compare with, as the guest names it, instead of what was shipped. */
  base?: string | undefined;
  maxBytes: number;
}

/** Fetches and checks it. Throws `workspace.refused`, `workspace.failed`. */
export async function fetchGuestState(
  runInGuest: RunInGuest,
  { vm, workspace, base, maxBytes }: GuestStateRequest,
  quarantine: Quarantine,
  { signal }: { signal: AbortSignal },
): Promise<GuestState> {
  if (base !== undefined && !/^[\w][\w./@{}~^-]*$/.test(base)) {
    throw new BangerError("usage", `"${base}" is not the name of a commit`);
  }
  if (base !== undefined && workspace.mode === "copy") {
    throw new BangerError("workspace.failed", `the workspace of "${vm}" has no commits to compare with (mode copy)`, {
      hint: `banger vm workspace diff ${vm}  # compares with what was shipped`,
    });
  }
  const { guestPath, startCommit, headCommit, baseTree, mode } = workspace;
  // What was shipped without being committed is only sent when the host has lost it.
  const shippedHere = baseTree !== null && (await quarantine.resolve(baseTree, "tree", signal)) !== undefined;
  const known = [...new Set([startCommit, headCommit, shippedHere ? baseTree : null])].filter((id) => id !== null);
  const header = await collect(
    runInGuest,
    {
      vm,
      directory: guestPath,
      known,
      also: baseTree === null || shippedHere ? [] : [baseTree],
      base,
      withoutRepository: mode === "copy",
      maxBytes,
    },
    quarantine,
    { signal },
  );
  const treeOf = (name: string) => quarantine.resolve(name, "tree", signal);
  const start = startCommit ?? headCommit ?? undefined;
  const notes: string[] = [];
  const found = await (async () => {
    if (base !== undefined) return header.base === undefined ? undefined : await treeOf(header.base);
    const shipped = baseTree === null ? undefined : await treeOf(baseTree);
    if (shipped !== undefined) return shipped;
    if (baseTree !== null) notes.push("the guest has lost the record of what was shipped: compared with the commit");
    return start === undefined ? emptyTree[quarantine.format] : await treeOf(start);
  })();
  if (found === undefined) {
    throw new BangerError("workspace.failed", `the commit that "${vm}" was compared with is not on this host`, {
      hint: `banger vm workspace prepare ${vm} <path>`,
    });
  }
  let tree = await treeOf(header.tree);
  if (tree === undefined) throw refused("it names a tree that it did not send");
  if (header.head !== undefined && (await quarantine.resolve(header.head, "commit", signal)) === undefined) {
    throw refused("it names a commit that it did not send");
  }
  let changes = await quarantine.changes(found, tree, signal);
  if (mode === "metadata-only" && (await isNotCheckedOut(quarantine, found, changes, signal))) {
    changes = changes.filter(({ after }) => after !== undefined);
    tree = await quarantine.treeWith(found, changes, signal);
  }
  return { baseTree: found, tree, head: header.head, start, branch: header.branch, changes, notes };
}

/** Whether a guest that got no files has made none of them: it has not deleted them then. */
async function isNotCheckedOut(quarantine: Quarantine, base: string, changes: readonly Change[], signal: AbortSignal) {
  const { stdout } = await quarantine.git(["ls-tree", "-r", "-z", base], { signal, maxOutputBytes: 256 * 1024 * 1024 });
  const files = stdout.reduce((count, byte) => count + (byte === 0 ? 1 : 0), 0);
  return files > 0 && changes.filter(({ after }) => after === undefined).length === files;
}

/**
 * Checks each entry of each tree of the commits that the guest made, as `changes` are checked, and that nothing they need is missing.
 * Throws `workspace.refused`.
 */
export async function checkCommits(quarantine: Quarantine, { head, start }: GuestState, signal: AbortSignal) {
  if (head === undefined || head === start) return;
  const not = start === undefined ? [] : [`^${start}`];
  const large = { signal, maxOutputBytes: 256 * 1024 * 1024 };
  try {
    await quarantine.git(["rev-list", "--objects", "--quiet", head, ...not], large);
  } catch (error) {
    signal.throwIfAborted();
    throw refused("its commits need objects that are neither there nor here", { cause: error });
  }
  const { stdout: commits } = await quarantine.git(["rev-list", head, ...not], large);
  const { stdout } = await quarantine.git(
    "diff-tree --stdin --no-commit-id --root -m -r -z --raw --no-renames --full-index --no-abbrev".split(" "),
    { ...large, input: commits },
  );
  parseChanges(stdout);
}
