// What disk files take on the host, and copies of them that keep the holes.
import { rm, stat } from "node:fs/promises";
import { run } from "../lib/run.ts";
import { asDiskFull } from "./failure.ts";

/** Bytes that files take on the host: holes take none, and a file with several names counts once. Missing files count 0. */
export async function allocatedBytes(...paths: readonly string[]): Promise<number> {
  const files = new Map<string, number>();
  for (const path of paths) {
    try {
      const { dev, ino, blocks } = await stat(path);
      files.set(`${dev}:${ino}`, blocks * 512);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return [...files.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Copies a file with its holes, sharing its blocks where the file system can. `to` is replaced, and removed after a failure; it is not
 * flushed to the disk. Throws `disk.full`, `command.failed`, or the signal's reason.
 */
export async function copySparse(from: string, to: string, { signal }: { signal: AbortSignal }): Promise<void> {
  try {
    await run({
      file: "cp",
      args: [
        "--sparse=auto",
        "--reflink=auto",
        "--remove-destination",
        "--no-dereference",
        "--preserve=mode",
        "--",
        from,
        to,
      ],
      timeoutMs: 3_600_000,
      signal,
    });
  } catch (error) {
    await rm(to, { force: true });
    throw asDiskFull(error, `no space left to copy "${from}"`);
  }
}
