// Blank disks: sparse ext4 files, empty until the guest writes.
import { open, rename, rm, stat } from "node:fs/promises";
import { BangerError, diskFull } from "../lib/errors.ts";
import { run } from "../lib/run.ts";
import { syncDirectory } from "../lib/files.ts";
import { dirname } from "node:path";

/**
 * Makes an empty ext4 file of `sizeBytes` unless it exists: staged and renamed, so that a crash leaves no half disk that a
 * later start believes in.
 */
export async function ensureDisk(path: string, label: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  if (await exists(path)) return;
  const staging = `${path}.new`;
  try {
    const file = await open(staging, "w", 0o600);
    try {
      await file.truncate(sizeBytes);
    } finally {
      await file.close();
    }
    await run({
      file: "mke2fs",
      // The tables are left to be made when they are needed: making 8 GiB of them would take longer than the boot.
      args: [
        ...["-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-J", "size=16"],
        ...["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0"],
        staging,
      ],
      timeoutMs: 60_000,
      signal,
    });
    await rename(staging, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(staging, { force: true });
    if (error instanceof BangerError && /No space left on device/.test(error.message)) {
      throw diskFull(`no space left to make the disk "${path}"`, error);
    }
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
