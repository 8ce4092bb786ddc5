// One whole file with the content of a chain of layers, so that a disk of many generations opens and reads like the first one.
import { randomBytes } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { Writable } from "node:stream";
import { asDiskFull, BangerError } from "../lib/errors.ts";
import { publish } from "../lib/files.ts";
import { findTool, run } from "../lib/run.ts";
import { readChain } from "./chain.ts";
import { badDisk } from "./failure.ts";
import type { DiskFormat } from "./qcow2-header.ts";

export interface FlattenOptions {
  signal: AbortSignal;
  /** How much of the disk has been looked at, now and then: holes count, too. */
  onBytes?: (doneBytes: number, totalBytes: number) => void;
}

/** Copying a whole disk of a slow host; a copy that hangs must end some day. */
const timeoutMs = 6 * 3_600_000;

/**
 * Writes `target`: a raw sparse file (0600) with what the chain below `path` shows. Nothing of the chain may be written to
 * meanwhile; machines may read from it. The target gets its name only when it is whole and on the disk; one that is there is
 * replaced. Throws `snapshot.failed`, `disk.full`, `command.missing`, or the signal's reason.
 */
export async function flattenChain(
  path: string,
  format: DiskFormat,
  target: string,
  { signal, onBytes }: FlattenOptions,
): Promise<void> {
  signal.throwIfAborted();
  // Also the check that qemu-img will open what we mean and nothing else.
  const [top] = await readChain(path, format);
  const totalBytes = top?.sizeBytes ?? 0;
  if (findTool("qemu-img") === undefined) {
    throw new BangerError("command.missing", `"qemu-img" is not installed: the layers of "${path}" cannot be merged`, {
      hint: "sudo apt-get install qemu-utils",
    });
  }
  const staging = `${target}.${randomBytes(6).toString("hex")}.tmp`;
  try {
    await (await open(staging, "wx", 0o600)).close();
    await run({
      file: "qemu-img",
      args: ["convert", "-p", "-f", format, "-O", "raw", path, staging],
      output: progressReader((part) => onBytes?.(Math.floor(part * totalBytes), totalBytes)),
      timeoutMs,
      signal,
    });
    {
      await using file = await open(staging, "r+");
      await file.sync();
    }
    await publish(staging, target);
  } catch (error) {
    await rm(staging, { force: true });
    const full = asDiskFull(error, `no space left to merge the layers of the disk "${path}"`);
    if (full === error && error instanceof BangerError && error.code === "command.failed") {
      throw badDisk(path, "its layers cannot be merged", error);
    }
    throw full;
  }
}

/** Takes what `qemu-img -p` prints: "    (12.34/100%)\r", again and again. */
function progressReader(onPart: (part: number) => void): Writable {
  let rest = "";
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      rest = (rest + chunk.toString("latin1")).slice(-4096);
      const last = [...rest.matchAll(/\(([\d.]+)\/100%\)/g)].at(-1);
      if (last !== undefined) {
        onPart(Math.min(1, Number(last[1]) / 100));
        rest = rest.slice(last.index + last[0].length);
      }
      done();
    },
  });
}
