// Packs files of the host as one tar while a guest unpacks it: nothing of it is stored in between.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Transform, type Readable } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import { run } from "../lib/run.ts";
import { joinZero } from "./source/git-words.ts";

export interface Cargo {
  /** Directory of ours for a list. */
  scratch: string;
  /** Where the files lie, and their names below it. */
  filesRoot: string;
  files: readonly Buffer[];
  /** A directory or file below another root that goes along; null: none. */
  extra: { root: string; name: string } | null;
}

/** Unpacks a tar in the guest: the part of its agent that shipping needs. */
export type Unpack<Reply> = (tar: Readable, signal: AbortSignal) => Promise<Reply>;

/** Sends the cargo; all of it belongs to root there. Throws `workspace.failed`, or what `unpack` throws. */
export async function ship<Reply>(
  cargo: Cargo,
  unpack: Unpack<Reply>,
  progress: Pick<Progress, "signal" | "bytes">,
): Promise<{ reply: Reply; sentBytes: number }> {
  const failed = new AbortController();
  const signal = AbortSignal.any([progress.signal, failed.signal]);
  let sentBytes = 0;
  const tar = new Transform({
    highWaterMark: 256 * 1024,
    transform(chunk: Buffer, _encoding, callback) {
      progress.bytes((sentBytes += chunk.length), null);
      callback(null, chunk);
    },
  });
  // It may be destroyed before anybody reads it; the failure is told by what waits for both sides.
  tar.on("error", () => {});
  const packing = pack(cargo, tar, signal).catch((error: unknown) => {
    tar.destroy(error as Error);
    throw new BangerError("workspace.failed", `the files of "${cargo.filesRoot}" could not be read`, { cause: error });
  });
  const unpacking = unpack(tar, signal).catch((error: unknown) => {
    failed.abort(error);
    throw error;
  });
  const [packed, unpacked] = await Promise.allSettled([packing, unpacking]);
  progress.signal.throwIfAborted();
  // The guest's own words first: a pipe that broke on this side is only their consequence.
  if (unpacked.status === "rejected" && failed.signal.aborted) throw unpacked.reason;
  if (packed.status === "rejected") throw packed.reason;
  if (unpacked.status === "rejected") throw unpacked.reason;
  return { reply: unpacked.value, sentBytes };
}

async function pack({ scratch, filesRoot, files, extra }: Cargo, tar: Transform, signal: AbortSignal): Promise<void> {
  const list = join(scratch, "files.list");
  await writeFile(list, joinZero(files), { mode: 0o600 });
  await run({
    file: "tar",
    args: [
      "--create",
      // Seconds are enough, and the other formats need a kilobyte more for each file.
      "--format=gnu",
      "--sparse",
      "--owner=root:0",
      "--group=root:0",
      ...(extra === null ? [] : [`--directory=${extra.root}`, extra.name]),
      `--directory=${filesRoot}`,
      "--no-recursion",
      "--null",
      "--verbatim-files-from",
      `--files-from=${list}`,
    ],
    cwd: scratch,
    output: tar,
    signal,
    timeoutMs: 24 * 60 * 60 * 1000,
    // A file that changed or went while it was read (exit code 1) is normal in a work tree that is in use.
    okExitCodes: [0, 1],
  });
}
