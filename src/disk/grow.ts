// Disk files that get larger, while no machine has them open. What is in them stays as it is; the new room reads as zeroes.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { asDiskFull, BangerError } from "../lib/errors.ts";
import { findTool, run } from "../lib/run.ts";
import { readChain, virtualSize } from "./chain.ts";
import { badDisk } from "./failure.ts";
import type { DiskFormat } from "./qcow2-header.ts";

/**
 * Makes the disk at least `sizeBytes` large, a multiple of 512; durable when it resolves with the size that it then has. Of a layer
 * only the top is changed. Idempotent; stopped at any point, the disk is of either size. Throws `disk.full`, `snapshot.failed`,
 * `command.missing`, or the signal's reason.
 */
export async function growDisk(
  path: string,
  format: DiskFormat,
  sizeBytes: number,
  { signal }: { signal: AbortSignal },
): Promise<number> {
  signal.throwIfAborted();
  const now = await virtualSize(path, format);
  if (now >= sizeBytes) return now;
  try {
    if (format === "qcow2") await growLayer(path, sizeBytes, signal);
    await using file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    if (format === "raw") await file.truncate(sizeBytes);
    await file.sync();
    return sizeBytes;
  } catch (error) {
    const full = asDiskFull(error, `no space left to make the disk "${path}" larger`);
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EFBIG") throw badDisk(path, "the file system of the host has no room for a file of that size", error);
    if (full === error && code === "command.failed") throw badDisk(path, "it cannot be made larger", error);
    throw full;
  }
}

async function growLayer(path: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  // Also the check that qemu-img will open what we mean and nothing else.
  await readChain(path, "qcow2");
  if (findTool("qemu-img") === undefined) {
    throw new BangerError("command.missing", `"qemu-img" is not installed: the disk "${path}" cannot be made larger`, {
      hint: "sudo apt-get install qemu-utils",
    });
  }
  await run({
    file: "qemu-img",
    args: ["resize", "-q", "-f", "qcow2", path, String(sizeBytes)],
    timeoutMs: 60_000,
    signal,
  });
}
