// Stops a writer before it fills the disk: other programs, and the VMs, need what is left.
import { statfsSync } from "node:fs";
import { diskFull } from "../../lib/errors.ts";

const keptBytes = 256 * 1024 ** 2;
const checkEveryBytes = 64 * 1024 ** 2;

/** Throws `disk.full` when fewer than `neededBytes`, and a reserve, are free on the file system of `directory`. */
export function requireSpace(directory: string, neededBytes: number): void {
  const { bavail, bsize } = statfsSync(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes + keptBytes) return;
  const mib = (bytes: number) => Math.ceil(bytes / 1024 ** 2);
  throw diskFull(
    `"${directory}" has ${mib(freeBytes)} MiB free, and the image needs ${mib(neededBytes + keptBytes)} MiB`,
  );
}

/** To be called before each write with its size; looks at the disk every now and then. */
export function spaceGuard(directory: string): (bytes: number) => void {
  let unchecked = 0;
  return (bytes) => {
    unchecked += bytes;
    if (unchecked < checkEveryBytes) return;
    unchecked = 0;
    requireSpace(directory, checkEveryBytes);
  };
}
