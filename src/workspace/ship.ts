// Sends a repository's tracked files into a guest as one tar stream.
import { Transform, type Readable } from "node:stream";
import { BangerError } from "../lib/errors.ts";
import type { Progress } from "../lib/progress.ts";
import { run } from "../lib/run.ts";
import type { Repository } from "./repository.ts";

/** Unpacks a tar below a guest directory: the part of the guest's agent that shipping needs. */
export type Unpack = (directory: string, tar: Readable, signal: AbortSignal) => Promise<unknown>;

/**
 * Ships the files into `guestPath`; they belong to root there. Throws `workspace.failed`, or what `unpack` throws.
 * Files of an earlier shipment that are no longer tracked stay.
 */
export async function shipRepository(
  repository: Repository,
  guestPath: string,
  unpack: Unpack,
  progress: Progress,
): Promise<void> {
  progress.stage("ship", `${repository.files.length} files of ${repository.name} to ${guestPath}`);
  const failed = new AbortController();
  const signal = AbortSignal.any([progress.signal, failed.signal]);
  let sent = 0;
  const tar = new Transform({
    highWaterMark: 256 * 1024,
    transform(chunk: Buffer, _encoding, callback) {
      progress.bytes((sent += chunk.length), null);
      callback(null, chunk);
    },
  });
  const list = Buffer.concat(repository.files.flatMap((name) => [name, zero]));
  const packing = run({
    file: "tar",
    args: [
      "--create",
      "--format=pax",
      "--owner=root:0",
      "--group=root:0",
      "--no-recursion",
      "--null",
      "--verbatim-files-from",
      "--files-from=-",
    ],
    cwd: repository.root,
    input: list,
    output: tar,
    signal,
    // A file that changed or went while it was read (exit code 1) is normal in a work tree that is in use.
    okExitCodes: [0, 1],
  }).catch((error: unknown) => {
    tar.destroy(error as Error);
    throw new BangerError("workspace.failed", `the files of "${repository.root}" could not be read`, { cause: error });
  });
  const unpacking = unpack(guestPath, tar, signal).catch((error: unknown) => {
    failed.abort(error);
    throw error;
  });
  const [packed, unpacked] = await Promise.allSettled([packing, unpacking]);
  progress.signal.throwIfAborted();
  // The guest's own words first: a pipe that broke on this side is only their consequence.
  if (unpacked.status === "rejected" && failed.signal.aborted) throw unpacked.reason;
  if (packed.status === "rejected") throw packed.reason;
}

const zero = Buffer.alloc(1);
