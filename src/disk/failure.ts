// How failures of disk files become errors: of the host's disk being full, and of disks that cannot be what they should be.
import { BangerError, diskFull } from "../lib/errors.ts";

/** `disk.full` with this message when that is why it failed, said by the kernel or by a tool; else the error itself. */
export function asDiskFull(error: unknown, message: string): unknown {
  const full =
    error instanceof BangerError
      ? /No space left on device|Disk quota exceeded/.test(error.message)
      : ["ENOSPC", "EDQUOT"].includes(String((error as NodeJS.ErrnoException | undefined)?.code));
  return full ? diskFull(message, error) : error;
}

/** The error of a disk file that cannot be used. */
export function badDisk(path: string, why: string, cause?: unknown): BangerError {
  return new BangerError("snapshot.failed", `the disk "${path}" cannot be used: ${why}`, { cause });
}
