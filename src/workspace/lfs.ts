// Files of Git LFS whose content is not there: what would be shipped of them is a pointer.
import { lstatSync, readFileSync } from "node:fs";
import { linkMode, submoduleMode, type IndexEntry } from "./source/git-words.ts";
import type { Staging } from "./staging/staging.ts";

const pointerStart = "version https://git-lfs.github.com/spec/v1\n";
const maxPointerBytes = 300;
/** A list of patterns that is longer is not looked at. */
const maxAttributesBytes = 1024 * 1024;

const isRegular = ({ mode, skipped }: IndexEntry) => !skipped && mode !== linkMode && mode !== submoduleMode;
const mayBePointer = (size: number) => size > pointerStart.length && size < maxPointerBytes;
const isAttributes = ({ name }: IndexEntry) => /(?:^|\/)\.gitattributes$/.test(name.toString("latin1"));
const usesLfs = (attributes: string) => /filter=lfs/.test(attributes);

/** How many files of a work tree are pointers: looked for only where a .gitattributes speaks of it. */
export function lfsPointers(root: string, entries: readonly IndexEntry[]): number {
  const absolute = (name: Buffer) => Buffer.concat([Buffer.from(`${root}/`), name]);
  const content = (name: Buffer) => readFileSync(absolute(name), "utf8");
  const sizeOf = (name: Buffer) => lstatSync(absolute(name), { throwIfNoEntry: false })?.size ?? 0;
  const regular = entries.filter(isRegular);
  try {
    const lists = regular.filter((entry) => isAttributes(entry) && sizeOf(entry.name) < maxAttributesBytes);
    if (!lists.some(({ name }) => usesLfs(content(name)))) return 0;
    return regular.filter(({ name }) => mayBePointer(sizeOf(name)) && content(name).startsWith(pointerStart)).length;
  } catch {
    // A file that cannot be read is told when it is shipped.
    return 0;
  }
}

/** The same of files of a commit, which are shipped as git has them: their content is elsewhere, also when it was fetched. */
export async function lfsPointersOf(
  staging: Staging,
  files: readonly (IndexEntry & { size: number })[],
  options: { signal: AbortSignal },
): Promise<number> {
  const contents = async (some: readonly IndexEntry[]) => {
    const input = some.map(({ id }) => `${id}\n`).join("");
    return (await staging.git(["cat-file", "--batch", "--buffer"], { input, ...options })).toString("latin1");
  };
  const regular = files.filter(isRegular);
  const lists = regular.filter((file) => isAttributes(file) && file.size < maxAttributesBytes);
  if (lists.length === 0 || !usesLfs(await contents(lists))) return 0;
  const starts = (await contents(regular.filter(({ size }) => mayBePointer(size)))).split(`\n${pointerStart}`);
  return starts.length - 1;
}
