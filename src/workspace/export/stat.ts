// What an export holds, file by file, for people: counts of lines, renames, modes.
import { BangerError } from "../../lib/errors.ts";
import type { Quarantine } from "../quarantine/quarantine.ts";
import { showPath } from "../quarantine/show-path.ts";

export interface FileStat {
  path: string;
  /** The name before, of a file that was renamed. */
  from: string | null;
  kind: "added" | "changed" | "deleted" | "renamed" | "mode" | "type";
  /** Lines; null for a binary file. */
  added: number | null;
  removed: number | null;
}

const kinds: Record<string, FileStat["kind"]> = { A: "added", M: "changed", D: "deleted", R: "renamed", T: "type" };

/** All files that differ between two trees, renames found. */
export async function fileStats(
  { git }: Quarantine,
  before: string,
  after: string,
  signal: AbortSignal,
): Promise<FileStat[]> {
  const { stdout } = await git(
    ["diff-tree", "-r", "-z", "-M", "--raw", "--numstat", "--no-ext-diff", "--no-textconv", before, after],
    { signal, maxOutputBytes: 256 * 1024 * 1024 },
  );
  return parseStats(stdout);
}

/** Reads the output of `git diff-tree -r -z -M --raw --numstat`. */
export function parseStats(output: Buffer): FileStat[] {
  const words = splitZero(output);
  const kindOf = new Map<string, FileStat["kind"]>();
  const stats: FileStat[] = [];
  for (let at = 0; at < words.length;) {
    const word = wordAt(words, at);
    const head = word.toString("latin1");
    if (head.startsWith(":")) {
      const [oldMode, newMode, oldId, newId, status = ""] = head.slice(1).split(" ");
      const two = status.startsWith("R");
      const path = wordAt(words, at + (two ? 2 : 1));
      const onlyMode = status === "M" && oldId === newId && oldMode !== newMode;
      kindOf.set(path.toString("latin1"), onlyMode ? "mode" : (kinds[status.charAt(0)] ?? "changed"));
      at += two ? 3 : 2;
      continue;
    }
    const [added = "", removed = ""] = head.split("\t", 2);
    const inline = word.subarray(added.length + removed.length + 2);
    const two = inline.length === 0;
    const path = two ? wordAt(words, at + 2) : inline;
    stats.push({
      path: showPath(path),
      from: two ? showPath(wordAt(words, at + 1)) : null,
      kind: kindOf.get(path.toString("latin1")) ?? "changed",
      added: added === "-" ? null : Number(added),
      removed: removed === "-" ? null : Number(removed),
    });
    at += two ? 3 : 1;
  }
  return stats;
}

function wordAt(words: readonly Buffer[], at: number): Buffer {
  const word = words[at];
  if (word === undefined) throw new BangerError("workspace.failed", "git's list of files ends too early");
  return word;
}

function splitZero(output: Buffer): Buffer[] {
  const words: Buffer[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0, at);
    words.push(output.subarray(at, end === -1 ? output.length : end));
    at = end === -1 ? output.length : end + 1;
  }
  return words;
}
