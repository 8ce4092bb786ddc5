// Exports are written beside the place that the user named, outside of our directories: what is unfinished is known here, so that the next
// start removes what a killed daemon left there.
import { randomBytes } from "node:crypto";
import { readlink, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ensureDirectory, namesIn } from "../lib/files.ts";

export class UnfinishedExports {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Removes what was unfinished when the last daemon ended; what cannot be removed (its disk is not there) is tried again at the next start. */
  static async open(directory: string): Promise<UnfinishedExports> {
    for (const name of await namesIn(directory)) {
      const record = join(directory, name);
      // What is no link was not put there by us, and must not keep the daemon from starting.
      const staging = await readlink(record).catch(() => undefined);
      if (staging === undefined) continue;
      // Only what has the name that was given to it here.
      if (basename(staging).endsWith(`.${name}.tmp`)) {
        const isGone = await rm(staging, { recursive: true, force: true }).then(
          () => true,
          () => false,
        );
        if (!isGone) continue;
      }
      await rm(record);
    }
    return new UnfinishedExports(directory);
  }

  /** A name beside `path` for its unfinished file or directory, which is the caller's to make, to publish or to remove, and then to dispose of. */
  async begin(path: string): Promise<{ staging: string } & AsyncDisposable> {
    const name = randomBytes(6).toString("hex");
    const staging = join(dirname(path), `.${basename(path)}.${name}.tmp`);
    const record = join(this.#directory, name);
    await ensureDirectory(this.#directory);
    await symlink(staging, record);
    return { staging, [Symbol.asyncDispose]: () => rm(record, { force: true }) };
  }
}
