// Keeps a log that a guest can fill from filling the host's disk.
import { open, stat } from "node:fs/promises";

/**
 * When the file is longer than `maxBytes`, keeps only its last `keptBytes`. The writer must append. What is written meanwhile can
 * be lost. A missing file is fine.
 */
export async function limitLog(path: string, maxBytes: number, keptBytes: number): Promise<void> {
  const size = await stat(path).then(
    (info) => info.size,
    () => 0,
  );
  if (size <= maxBytes) return;
  await using file = await open(path, "r+");
  const tail = Buffer.alloc(keptBytes);
  const { bytesRead } = await file.read(tail, 0, keptBytes, size - keptBytes);
  await file.truncate(0);
  await file.write(tail.subarray(0, bytesRead), 0, bytesRead, 0);
}

/** The last `lines` lines of a log, from at most its last 8 KiB; empty when there is none. */
export async function tailOf(path: string, lines: number): Promise<string> {
  const maxBytes = 8192;
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const tail = Buffer.alloc(Math.min(size, maxBytes));
    const { bytesRead } = await file.read(tail, 0, tail.length, Math.max(0, size - maxBytes));
    return tail.toString("utf8", 0, bytesRead).trim().split("\n").slice(-lines).join("\n");
  } catch {
    return "";
  }
}
