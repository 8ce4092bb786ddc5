// A spare copy of a memory file: lies beside it, equal to it byte for byte, so that a capture can take it in place of a copy.
import { lstat, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Where the spare copy of a memory file lies when there is one. Whoever puts it there renames a complete copy. */
export const spareOf = (memoryFile: string): string => `${memoryFile}.spare`;

/** The memory file that a machine maps: its path, which may lead elsewhere by now, and a path that always opens it. */
export interface MappedMemory {
  path: string;
  opened: string;
}

/**
 * Moves the spare copy of `base` to `target`, where nothing is: in the place of a file that is there, ext4 would first send all of it
 * to the disk. False when there is none or it cannot be taken; then nothing is at `target`, and the caller copies. Never throws.
 */
export async function takeSpare(base: MappedMemory, target: string): Promise<boolean> {
  const spare = spareOf(base.path);
  try {
    const [info, mapped] = await Promise.all([lstat(spare), stat(base.opened)]);
    if (!info.isFile() || info.size !== mapped.size || !(await leadsTo(base))) return false;
    await rename(spare, target);
  } catch {
    return false;
  }
  // Between the two looks another memory file, with its own spare, may have been put in the place of the mapped one.
  if (await leadsTo(base).catch(() => false)) return true;
  await rm(target, { force: true }).catch(() => {});
  return false;
}

/** The path of `base` when a spare copy beside it could be moved into the directory of `target`. Never throws. */
export async function spareHelps(base: MappedMemory, target: string): Promise<string | undefined> {
  try {
    const [from, to] = await Promise.all([stat(base.path), stat(dirname(target))]);
    return from.dev === to.dev && (await leadsTo(base)) ? base.path : undefined;
  } catch {
    return undefined;
  }
}

/** A file that is mapped keeps its number: no other one gets it. */
async function leadsTo({ path, opened }: MappedMemory): Promise<boolean> {
  const [now, mapped] = await Promise.all([stat(path), stat(opened)]);
  return now.dev === mapped.dev && now.ino === mapped.ino;
}
