// The pinned images that can be pulled by name: those of banger, and those of a file of the user.
import { readFile, stat } from "node:fs/promises";
import { BangerError } from "../../lib/errors.ts";
import builtIn from "./images.json" with { type: "json" };
import { parsePinnedImages, type PinnedImage } from "./schema.ts";

const maxBytes = 1024 * 1024;

/**
 * Those of `file`, then those of banger that are not named in it. "": those of banger only. Throws `config.unreadable` and
 * `config.invalid`.
 */
export async function readPinnedImages(file: string): Promise<readonly PinnedImage[]> {
  // A test checks the list of banger; it is not checked at every start.
  const ours: readonly PinnedImage[] = builtIn.images;
  if (file === "") return ours;
  const own = parsePinnedImages(await readText(file), file);
  const named = new Set(own.map(({ name }) => name));
  return [...own, ...ours.filter(({ name }) => !named.has(name))];
}

async function readText(file: string): Promise<string> {
  try {
    if ((await stat(file)).size > maxBytes) throw new Error(`it is larger than ${maxBytes} bytes`);
    return await readFile(file, "utf8");
  } catch (error) {
    throw new BangerError("config.unreadable", `cannot read the image catalog "${file}": ${(error as Error).message}`, {
      cause: error,
      hint: `ls -l ${file}  # "image_catalog" in config.toml names it`,
    });
  }
}
