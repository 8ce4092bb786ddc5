// Moves a finished tree to its place, into what is already there, without ever writing through a link.
import { lstat, readdir, rename } from "node:fs/promises";
import { BangerError } from "../../lib/errors.ts";
import { below } from "./raw-path.ts";

/**
 * `from` becomes `target`. Directories that exist on both sides are merged, files and links are replaced in one step each.
 * A directory never replaces a file, a file never a directory, and nothing goes through a symbolic link: it may have come from a guest. `throughLink` excepts `target` itself.
 */
export async function mergeInto(
  from: string | Buffer,
  target: string | Buffer,
  options: { throughLink: boolean },
): Promise<void> {
  const [source, there] = await Promise.all([lstat(from), lstatOrNothing(target)]);
  if (there === undefined) return await rename(from, target);
  if (!source.isDirectory()) {
    if (there.isDirectory()) throw clash(target, "is a directory");
    return await rename(from, target);
  }
  if (there.isSymbolicLink() && !options.throughLink) throw clash(target, "is a symbolic link");
  if (!there.isDirectory() && !there.isSymbolicLink()) throw clash(target, "is not a directory");
  for (const name of await readdir(from, { encoding: "buffer" })) {
    await mergeInto(below(from, name), below(target, name), { throughLink: false });
  }
}

async function lstatOrNothing(path: string | Buffer) {
  try {
    return await lstat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function clash(target: string | Buffer, why: string): BangerError {
  return new BangerError("file.failed", `cannot copy over "${String(target)}": it ${why}`);
}
