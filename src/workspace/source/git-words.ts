// Reads what git prints between zero bytes. Names are bytes, since they need not be UTF-8.

/** The pieces between zero bytes, without an empty one at the end. */
export function splitZero(output: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf(0, at);
    pieces.push(output.subarray(at, end === -1 ? output.length : end));
    at = end === -1 ? output.length : end + 1;
  }
  return pieces;
}

/** The inverse of splitZero. */
export function joinZero(names: readonly Buffer[]): Buffer {
  return Buffer.concat(names.flatMap((name) => [name, zero]));
}

const zero = Buffer.alloc(1);

/** A file of an index. */
export interface IndexEntry {
  /** As git writes it: 0o100644, 0o100755, 0o120000 or 0o160000. */
  mode: number;
  id: string;
  name: Buffer;
  /** Not in the work tree, by a sparse checkout. */
  skipped: boolean;
}

/** A file that is another one than before. Modes are git's, 0 for no such file; ids are hex. */
export interface FileChange {
  path: Buffer;
  oldMode: number;
  oldId: string;
  newMode: number;
  newId: string;
}

export const linkMode = 0o120000;
export const executableMode = 0o100755;
export const submoduleMode = 0o160000;

/** Of `git ls-files -s -t -z`; an unmerged path comes once. */
export function parseIndexEntries(output: Buffer): IndexEntry[] {
  const entries: IndexEntry[] = [];
  let last: Buffer | undefined;
  for (const line of splitZero(output)) {
    const tab = line.indexOf(0x09);
    const name = line.subarray(tab + 1);
    if (last?.equals(name) === true) continue;
    last = name;
    const [tag = "", mode = "", id = ""] = line.toString("latin1", 0, tab).split(" ");
    entries.push({ mode: Number.parseInt(mode, 8), id, name, skipped: tag === "S" });
  }
  return entries;
}

/** Whether a name is in a set, or below one that is: a file of a submodule. Bytes as latin1 text. */
export function isBelow(names: ReadonlySet<string>, name: string): boolean {
  for (let at = name.length; at > 0; at = name.lastIndexOf("/", at - 1)) if (names.has(name.slice(0, at))) return true;
  return false;
}
