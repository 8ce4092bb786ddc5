// Whether a process has pages of its own in a file that it maps copy on write: those no longer follow the file.
import { readFile, realpath } from "node:fs/promises";
import { parseMaps } from "./capture/guest-ram.ts";
import { ownsMoreThan } from "./capture/page-map.ts";

/** True also when the process does not map the file, or does not let itself be looked at. */
export async function hasWrittenTo(pid: number, file: string): Promise<boolean> {
  try {
    // As the kernel tells it: a home may lie behind a link.
    const mapped = await realpath(file);
    const pieces = parseMaps(await readFile(`/proc/${pid}/maps`, "utf8")).filter(({ path }) => path === mapped);
    for (const { start, end } of pieces) {
      if (await ownsMoreThan({ pid, start, sizeBytes: end - start }, 0)) return true;
    }
    return pieces.length === 0;
  } catch {
    return true;
  }
}
