// Which tools a repository pins, read on the host. Nothing in the repository is run, and no link is followed.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { toolFiles } from "./files.ts";
import type { PinnedTool } from "./tool.ts";

export interface ToolchainPlan {
  /** One for each tool, in the order of the files. */
  tools: PinnedTool[];
  /** Pins that do not count, as another file comes first. */
  shadowed: PinnedTool[];
  /** Files that pin something or that mise reads. */
  files: string[];
}

const maxFileBytes = 1024 * 1024;

/** Reads the files at the top of a work tree. */
export async function planToolchain(root: string): Promise<ToolchainPlan> {
  const plan: ToolchainPlan = { tools: [], shadowed: [], files: [] };
  for (const { name, read } of toolFiles) {
    const text = await readSmall(join(root, name));
    if (text === undefined) continue;
    const pins = read(text).map((one) => ({ ...one, source: name }));
    if (pins.length > 0) plan.files.push(name);
    for (const one of pins) {
      const earlier = plan.tools.find(({ tool }) => tool === one.tool);
      if (earlier === undefined) plan.tools.push(one);
      else if (earlier.version !== one.version) plan.shadowed.push(one);
    }
  }
  return plan;
}

/** Undefined for what is missing, not a plain file, unreadable or too large to be such a file. */
async function readSmall(file: string): Promise<string | undefined> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const { size } = await handle.stat();
    if (!(await handle.stat()).isFile() || size > maxFileBytes) return undefined;
    return await handle.readFile("utf8");
  } catch {
    return undefined;
  }
}
