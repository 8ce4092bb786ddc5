// Our own file of credentials, written by login and logout: `auth.json` beside config.toml, 0600.
import { lstat, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { BangerError } from "../lib/errors.ts";
import { ensureDirectory, writeFileAtomic } from "../lib/files.ts";
import { KeyedMutex } from "../lib/mutex.ts";

export interface StoredLogin {
  username: string;
  password: string;
  /** Token server on another host that may get them: the user named it. */
  realm?: string;
}

interface AuthFile {
  version: 1;
  registries: Record<string, StoredLogin>;
}

const longestFileBytes = 1024 * 1024;
const writers = new KeyedMutex();

/**
 * What is stored, by registry. A missing file is empty. Throws `config.invalid` for one that is not ours in form or that others
 * may read.
 */
export async function readLogins(path: string): Promise<Map<string, StoredLogin>> {
  const info = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw new BangerError("config.unreadable", `cannot read "${path}": ${error.message}`, { cause: error });
  });
  if (info === undefined) return new Map();
  if (!info.isFile() || (info.mode & 0o077) !== 0 || info.uid !== process.getuid?.()) {
    throw new BangerError("config.invalid", `"${path}" holds passwords and must be a file that only you may read`, {
      hint: `chmod 600 ${path}`,
    });
  }
  if (info.size > longestFileBytes) throw broken(path, "it is too long");
  let parsed: Partial<AuthFile> | null;
  try {
    parsed = JSON.parse(await readFile(path, "utf8")) as Partial<AuthFile> | null;
  } catch (error) {
    // The parser's message quotes the text, which holds passwords.
    throw error instanceof SyntaxError
      ? broken(path, "it is not JSON")
      : new BangerError("config.unreadable", `cannot read "${path}"`, { cause: error });
  }
  if (parsed?.version !== 1 || typeof parsed.registries !== "object" || parsed.registries === null) {
    throw broken(path, "it is not in the form that this version writes");
  }
  const logins = new Map<string, StoredLogin>();
  for (const [registry, entry] of Object.entries(parsed.registries as Record<string, unknown>)) {
    const { username, password, realm } = (entry ?? {}) as Record<string, unknown>;
    if (typeof username !== "string" || typeof password !== "string") throw broken(path, `"${registry}" is incomplete`);
    logins.set(registry, { username, password, ...(typeof realm === "string" ? { realm } : {}) });
  }
  return logins;
}

/** Stores a login, or with undefined removes it. Returns whether there was one before. One writer at a time. */
export async function changeLogin(
  path: string,
  registry: string,
  login: StoredLogin | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  using _lock = await writers.acquire(path, signal);
  const logins = await readLogins(path);
  const existed = logins.delete(registry);
  if (login === undefined && !existed) return false;
  if (login !== undefined) logins.set(registry, login);
  const file: AuthFile = { version: 1, registries: Object.fromEntries(logins) };
  await ensureDirectory(dirname(path));
  await writeFileAtomic(path, `${JSON.stringify(file, undefined, 2)}\n`);
  return existed;
}

function broken(path: string, why: string): BangerError {
  return new BangerError("config.invalid", `"${path}" cannot be used: ${why}`, {
    hint: `rm ${path}  # then: banger registry login <host>`,
  });
}
