// The differences between two trees as git lists them, each checked: what passes here may be written to the host.
import { BangerError } from "../../lib/errors.ts";
import { showPath } from "./show-path.ts";
import { whyUnsafe, whyUnsafeLink } from "./safe-path.ts";

/** Modes of what may be in a tree that comes out of a guest. */
export type EntryMode = "100644" | "100755" | "120000";

export interface TreeEntry {
  mode: EntryMode;
  /** Object id of the blob. */
  id: string;
}

/** One path that differs. Absent on a side: there is nothing under this name. */
export interface Change {
  path: Buffer;
  before: TreeEntry | undefined;
  after: TreeEntry | undefined;
}

const maxChanges = 500_000;
const none = "000000";
const submodule = "160000";
const modes = new Set<string>(["100644", "100755", "120000"] satisfies EntryMode[]);

/**
 * Reads the output of `git diff-tree -r -z --raw --no-renames --full-index`. Throws `workspace.refused` for names that leave the
 * tree or reach a git directory, for repositories inside of it, and for what is neither a file nor a link.
 */
export function parseChanges(raw: Buffer): Change[] {
  const changes: Change[] = [];
  for (let at = 0; at < raw.length;) {
    const headEnd = raw.indexOf(0, at);
    const pathEnd = headEnd === -1 ? -1 : raw.indexOf(0, headEnd + 1);
    if (pathEnd === -1) throw garbled();
    const path = raw.subarray(headEnd + 1, pathEnd);
    changes.push(parseChange(raw.toString("latin1", at, headEnd), path));
    if (changes.length > maxChanges) throw refused(`it changes more than ${maxChanges} files`);
    at = pathEnd + 1;
  }
  return changes;
}

const headPattern = /^:(\d{6}) (\d{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [AMDT]$/;

function parseChange(head: string, path: Buffer): Change {
  const match = headPattern.exec(head);
  if (match === null) throw garbled();
  const [, beforeMode = "", afterMode = "", beforeId = "", afterId = ""] = match;
  const after = entry(afterMode, afterId);
  const why = whyUnsafe(path) ?? (after?.mode === "120000" ? whyUnsafeLink(path) : undefined);
  if (why !== undefined) throw refused(`"${showPath(path)}": ${why}`);
  if (after === undefined && afterMode !== none) throw badMode(path, afterMode);
  const before = entry(beforeMode, beforeId);
  if (before === undefined && beforeMode !== none) throw badMode(path, beforeMode);
  return { path, before, after };
}

function entry(mode: string, id: string): TreeEntry | undefined {
  return modes.has(mode) ? { mode: mode as EntryMode, id } : undefined;
}

function badMode(path: Buffer, mode: string): BangerError {
  const shown = showPath(path);
  if (mode !== submodule) return refused(`"${shown}" is of a kind that no work tree has (mode ${mode})`);
  return refused(`"${shown}" is a git repository inside the repository, or a submodule that was changed`, {
    hint: `in the guest: echo '/${shown}' >> .git/info/exclude  # then it is left out`,
  });
}

/** The error of content that does not pass. */
export function refused(what: string, options: { hint?: string; cause?: unknown } = {}): BangerError {
  return new BangerError("workspace.refused", `what the guest sends is refused: ${what}`, options);
}

function garbled(): BangerError {
  return new BangerError("workspace.failed", "git's list of differences could not be read");
}
