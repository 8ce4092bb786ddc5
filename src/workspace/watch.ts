// Tells when files of a repository may have changed: it watches the directories that shipped files lie in, and no others.
import { watch, type FSWatcher } from "node:fs";
import { join } from "node:path";
import { BangerError } from "../lib/errors.ts";

/** Directories that are watched at most: each takes one of the user's inotify watches. */
const maxDirectories = 20_000;
/** Editors write a file in several steps. */
const settleMs = 40;

export class WorkTreeWatch implements Disposable {
  readonly #watchers = new Map<string, FSWatcher>();
  #wake: (() => void) | undefined;
  #changed = false;
  #failure: Error | undefined;

  /**
   * `directories`: absolute. Those that are not among them are let go of; one that is missing is passed over. What happened in a
   * new one before is not known: that counts as a change.
   */
  follow(directories: ReadonlySet<string>): void {
    if (directories.size > maxDirectories) {
      throw new BangerError("workspace.failed", `the files lie in ${directories.size} directories: too many to watch`, {
        hint: "banger vm workspace sync <vm>  # without --watch, when something changed",
      });
    }
    for (const [path, watcher] of this.#watchers) {
      if (directories.has(path)) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    for (const path of directories) {
      if (this.#watchers.has(path) || !this.#add(path)) continue;
      this.#changed = true;
    }
  }

  /** What has changed until now is known. */
  forget(): void {
    this.#changed = false;
  }

  /** Resolves after something changed; at once when it did since the last time. Throws the signal's reason. */
  async changed(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => reject(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener("abort", onAbort, { once: true });
    this.#wake = resolve;
    try {
      if (!this.#changed && this.#failure === undefined) await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#wake = undefined;
    }
    await new Promise((settled) => setTimeout(settled, settleMs));
    signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    this.#changed = false;
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** False: it is not there. */
  #add(path: string): boolean {
    try {
      const watcher = watch(path, { persistent: false }, () => this.#notice());
      watcher.on("error", () => {
        // The directory went: that is a change of the one above it.
        this.#watchers.delete(path);
        watcher.close();
        this.#notice();
      });
      this.#watchers.set(path, watcher);
      return true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ENOTDIR" || code === "EACCES") return false;
      throw new BangerError("workspace.failed", `"${path}" cannot be watched: ${message}`, {
        cause: error,
        hint: "sudo sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=1024",
      });
    }
  }

  #notice(): void {
    this.#changed = true;
    this.#wake?.();
  }
}

/** Directories of the names below a root, the root itself among them. Names are bytes. */
export function directoriesOf(root: string, names: readonly Buffer[]): Set<string> {
  const found = new Set([root]);
  for (const name of names) {
    let at = name.lastIndexOf(0x2f);
    while (at > 0) {
      const path = join(root, name.toString("utf8", 0, at));
      if (found.has(path)) break;
      found.add(path);
      at = name.lastIndexOf(0x2f, at - 1);
    }
  }
  return found;
}
