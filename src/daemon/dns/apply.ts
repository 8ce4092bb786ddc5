// Carries out a recipe for this host's resolver. Needs root, and says so.
import { chmod, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BangerError } from "../../lib/errors.ts";
import { writeFileAtomic } from "../../lib/files.ts";
import { run } from "../../lib/run.ts";
import type { Recipe } from "./recipe.ts";

const hint = "banger dns setup | sudo sh";

/**
 * Writes the recipe's files below `root` and runs its commands. Throws `file.failed` when nothing can be written, or nothing is to be, and `command.failed`, `command.missing`; what was
 * written before stays: it does no harm, and a second try writes it again.
 */
export async function applyRecipe(recipe: Recipe, options: { signal: AbortSignal; root?: string }): Promise<void> {
  const { root = "/", signal } = options;
  if (recipe.files.length === 0) {
    throw new BangerError("file.failed", `there is nothing to apply for ${recipe.resolver}: it is for you to decide`, {
      hint: "banger dns setup",
    });
  }
  for (const { content, path } of recipe.files) {
    const target = join(root, path);
    try {
      // Others' programs read these: not 0700 and 0600 as everything of ours.
      const made = await mkdir(dirname(target), { recursive: true });
      if (made !== undefined) await chmod(dirname(target), 0o755);
      await writeFileAtomic(target, content);
      await chmod(target, 0o644);
    } catch (error) {
      throw new BangerError("file.failed", `cannot write "${target}": ${(error as Error).message}`, {
        cause: error,
        hint,
      });
    }
  }
  for (const [file = "", ...args] of recipe.commands) await run({ file, args, signal });
}

/** Of systemd; 0 when it is not installed. */
export async function systemdVersion(options: { signal: AbortSignal }): Promise<number> {
  try {
    const { stdout } = await run({ file: "resolvectl", args: ["--version"], ...options });
    return Number(/^systemd (\d+)/.exec(stdout.toString())?.[1] ?? 0);
  } catch {
    options.signal.throwIfAborted();
    return 0;
  }
}
