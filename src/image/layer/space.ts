// Stops a writer before it fills the disk: other programs, and the VMs, need what is left.
import { statfsSync } from "node:fs";
import { diskFull } from "../../lib/errors.ts";

/** What is left of a disk of 4 GiB and more; of a smaller one, a sixteenth. */
const maxKeptBytes = 256 * 1024 ** 2;
const checkEveryBytes = 64 * 1024 ** 2;

/** Throws `disk.full` when fewer than `neededBytes`, and a reserve, are free on the file system of `directory`. */
export function requireSpace(directory: string, neededBytes: number): void {
  const { bavail, blocks, bsize } = statfsSync(directory);
  const keptBytes = Math.min(maxKeptBytes, (blocks * bsize) / 16);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes + keptBytes) return;
  const mib = (bytes: number) => Math.ceil(bytes / 1024 ** 2);
  throw diskFull(
    `"${directory}" has ${mib(freeBytes)} MiB free: the image needs ${mib(neededBytes)} MiB more, and ${mib(keptBytes)} MiB are to stay free`,
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
