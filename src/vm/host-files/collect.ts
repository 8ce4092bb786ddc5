// What the [[file_sync]] entries of the configuration name on this host, looked at anew for each start, bounded.
import type { Stats } from "node:fs";
import { lstat, readdir, realpath, stat } from "node:fs/promises";
import { isAbsolute, join, relative } from "node:path";
import type { FileSync } from "../../config/file-sync.ts";
import { BangerError } from "../../lib/errors.ts";
import { formatBytes } from "../../lib/units.ts";

/** One file or directory for the guest. */
export interface HostFile {
  /** Below the guest's /root. */
  name: string;
  mode: number;
  /** Where it is read from, without symbolic links; undefined for a directory. */
  path: string | undefined;
}

export interface Collection {
  /** Each directory before what is in it. */
  files: HostFile[];
  /** What was left out, one sentence each. */
  warnings: string[];
}

/** Of all entries together. */
const limits = { files: 10_000, bytes: 64 * 1024 ** 2, depth: 32 };

/**
 * Looks at what the entries name. What is not there is left out with a warning, as are links inside a directory that lead out of it
 * and whatever is neither file nor directory. Throws `file.failed` for what cannot be read, lies outside of `home` once links are
 * followed, or is too much; the message names the entry.
 */
export async function collect(entries: readonly FileSync[], home: string, signal: AbortSignal): Promise<Collection> {
  const walk = new Walk(signal);
  for (const [index, entry] of entries.entries()) {
    const host = entry.host.startsWith("~/") ? join(home, entry.host.slice(2)) : entry.host;
    try {
      const path = await realpath(host);
      if (!isInside(await realpath(home), path)) {
        throw new Error(`it leads to "${path}", which is outside of the home directory`);
      }
      await walk.add(path, await stat(path), entry);
    } catch (error) {
      signal.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code === "ENOENT" && (await isMissing(host))) {
        walk.warnings.push(`"${entry.host}" was not copied: it is not there`);
        continue;
      }
      const why = error instanceof Error ? error.message : String(error);
      throw new BangerError("file.failed", `file_sync[${index}]: "${entry.host}" cannot be copied: ${why}`, {
        cause: error,
        hint: "banger config show  # then change or remove the entry",
      });
    }
  }
  return { files: walk.files, warnings: walk.warnings };
}

/** The directory of an entry, and how it is written there. */
interface Top {
  path: string;
  host: string;
}

/** `path` has no symbolic links; `shown` has them, and begins as the entry does. */
interface Place {
  path: string;
  name: string;
  shown: string;
}

class Walk {
  readonly files: HostFile[] = [];
  readonly warnings: string[] = [];
  #bytes = 0;
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** `path` has no symbolic links. */
  async add(path: string, status: Stats, { host, guest, mode }: FileSync): Promise<void> {
    const name = guestName(guest);
    if (status.isFile()) this.#push({ name, mode, path }, status.size);
    else if (status.isDirectory()) await this.#addDirectory({ path, host }, { path, name, shown: host }, status, []);
    else throw new Error("it is neither a file nor a directory");
  }

  async #addDirectory(top: Top, at: Place, { mode }: Stats, above: readonly string[]): Promise<void> {
    this.#push({ name: at.name, mode: mode & 0o777, path: undefined }, 0);
    if (above.length >= limits.depth) throw new Error(`it is deeper than ${limits.depth} directories`);
    for (const child of (await readdir(at.path)).toSorted()) {
      this.#signal.throwIfAborted();
      const shown = join(at.shown, child);
      const path = await resolve(join(at.path, child));
      if (path === undefined) this.#leaveOut(shown, "it leads nowhere");
      else if (!isInside(top.path, path)) this.#leaveOut(shown, `it leads out of "${top.host}"`);
      else await this.#addChild(top, { path, name: `${at.name}/${child}`, shown }, [...above, at.path]);
    }
  }

  async #addChild(top: Top, at: Place, above: readonly string[]): Promise<void> {
    const status = await stat(at.path);
    if (status.isFile()) this.#push({ name: at.name, mode: status.mode & 0o777, path: at.path }, status.size);
    else if (!status.isDirectory()) this.#leaveOut(at.shown, "it is neither a file nor a directory");
    else if (above.includes(at.path)) this.#leaveOut(at.shown, "it leads to a directory above it");
    else await this.#addDirectory(top, at, status, above);
  }

  #leaveOut(shown: string, why: string): void {
    this.warnings.push(`"${shown}" was not copied: ${why}`);
  }

  #push(file: HostFile, bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > limits.bytes) throw new Error(`with it there is more than ${formatBytes(limits.bytes)} to copy`);
    if (this.files.length === limits.files) throw new Error(`with it there are more than ${limits.files} files`);
    this.files.push(file);
  }
}

/** "~/.config/tool/" and "/root/.config/tool" are ".config/tool". */
function guestName(guest: string): string {
  return guest
    .replace(/^(?:~|\/root)\//, "")
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");
}

/** Undefined for a link that leads nowhere, and for what went meanwhile. */
async function resolve(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (["ENOENT", "ELOOP"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

async function isMissing(path: string): Promise<boolean> {
  return await lstat(path).then(
    async (status) => status.isSymbolicLink() && (await resolve(path)) === undefined,
    () => true,
  );
}

function isInside(directory: string, path: string): boolean {
  const below = relative(directory, path);
  return below !== ".." && !below.startsWith("../") && !isAbsolute(below);
}
