// The key pair that banger's SSH clients log in with: one for each home, made when it is first needed.
import { randomBytes } from "node:crypto";
import { readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { asDiskFull } from "../lib/errors.ts";
import { ensureDirectory } from "../lib/files.ts";
import { KeyedMutex } from "../lib/mutex.ts";
import { run } from "../lib/run.ts";

export interface ClientKey {
  identityFile: string;
  /** One line in authorized_keys form. */
  publicLine: string;
}

const making = new KeyedMutex();

/**
 * The client key of `sshDir`, made with ssh-keygen when absent. An existing key is never replaced.
 * Throws, when no key exists yet, `command.missing` (OpenSSH's client is not installed), `disk.full`, `command.failed`.
 */
export async function ensureClientKey(sshDir: string, options: { signal: AbortSignal }): Promise<ClientKey> {
  const identityFile = join(sshDir, "id_ed25519");
  // Two halves are put in place one after the other: two that do it at once could leave halves of different keys.
  using _ = await making.acquire(sshDir, options.signal);
  const known = await readPublic(identityFile);
  if (known !== undefined) return { identityFile, publicLine: known };
  await ensureDirectory(sshDir);
  const staging = join(sshDir, `new-${randomBytes(6).toString("hex")}`);
  try {
    await run({
      file: "ssh-keygen",
      args: ["-q", "-t", "ed25519", "-N", "", "-C", "banger", "-f", staging],
      timeoutMs: 30_000,
      signal: options.signal,
    });
    // The private half last: a key counts once both halves are there.
    await rename(`${staging}.pub`, `${identityFile}.pub`);
    await rename(staging, identityFile);
  } catch (error) {
    throw asDiskFull(error, "no space left to make banger's SSH key");
  } finally {
    await rm(staging, { force: true });
    await rm(`${staging}.pub`, { force: true });
  }
  return { identityFile, publicLine: (await readPublic(identityFile)) ?? "" };
}

async function readPublic(identityFile: string): Promise<string | undefined> {
  try {
    await readFile(identityFile);
    return (await readFile(`${identityFile}.pub`, "utf8")).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
