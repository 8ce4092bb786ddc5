// The error of disks that cannot be what they should be.
import { BangerError } from "../lib/errors.ts";

/** The error of a disk file that cannot be used. */
export function badDisk(path: string, why: string, cause?: unknown): BangerError {
  return new BangerError("snapshot.failed", `the disk "${path}" cannot be used: ${why}`, { cause });
}
