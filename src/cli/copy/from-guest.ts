// VM to host: the guest's tar goes into a fresh directory beside the target, is made harmless there, and is then moved.
import { chmod, lstat, readdir, stat, unlink } from "node:fs/promises";
import { dirname, join, posix, resolve } from "node:path";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { BangerError } from "../../lib/errors.ts";
import { stagingDirectory } from "../../lib/files.ts";
import type { Client } from "../../sdk/client.ts";
import { mergeInto } from "./merge.ts";
import type { Place } from "./place.ts";
import { below } from "./raw-path.ts";
import { unpackTar } from "./tar.ts";

type HostPlace = Extract<Place, { kind: "host" }> & { cwd: string };
type GuestPlace = Extract<Place, { kind: "guest" }>;

export interface Copied {
  /** Where the copy lies now. */
  path: string;
  /** Devices, pipes and sockets that were left out. */
  skipped: number;
}

/** The guest's tar as it is, on a stream that the caller owns. */
export async function packToStream(
  client: Client,
  source: GuestPlace,
  output: Writable,
  signal: AbortSignal,
): Promise<void> {
  const tar = await client.download("vm.pack", { vm: source.vm, path: source.path }, { signal });
  await pipeline(tar, output, { end: false, signal });
}

/** Copies a file or directory. Nothing is seen at the target before the whole tar was read. */
export async function copyFromGuest(
  client: Client,
  source: GuestPlace,
  destination: HostPlace,
  signal: AbortSignal,
): Promise<Copied> {
  const { file } = await client.call("vm.stat", { vm: source.vm, path: source.path }, { signal });
  if (file === null) throw new BangerError("file.not-found", `"${source.vm}:${source.path}" does not exist`);
  const place = await planDownload(source, file.directory, destination);
  await using staging = await stagingDirectory(place.stagingRoot);
  try {
    const tar = await client.download("vm.pack", { vm: source.vm, path: source.path }, { signal });
    await unpackTar(tar, staging.path, signal);
  } finally {
    await makeHarmless(staging.path);
  }
  const skipped = await removeSpecialFiles(staging.path);
  const entries = await readdir(staging.path, { encoding: "buffer" });
  const name = entries[0];
  if (entries.length !== 1 || name === undefined) {
    throw new BangerError(
      "guest.protocol",
      `the guest sent ${entries.length} entries for "${source.path}" where one was asked for`,
    );
  }
  await mergeInto(below(staging.path, name), place.target, { throughLink: place.named });
  return { path: place.target, skipped };
}

interface DownloadPlan {
  /** The final path of what is copied. */
  target: string;
  /** On the target's file system, so that a rename suffices. */
  stagingRoot: string;
  /** The target is the very path that the user wrote, so a link there is the user's. */
  named: boolean;
}

async function planDownload(source: GuestPlace, directory: boolean, destination: HostPlace): Promise<DownloadPlan> {
  const path = resolve(destination.cwd, destination.path);
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) {
    const name = posix.basename(source.path);
    const named = directory && (source.contents || name === "");
    return { target: named ? path : join(path, name), stagingRoot: path, named };
  }
  if (found !== undefined && directory) {
    throw new BangerError("file.failed", `cannot copy a directory onto the file "${destination.path}"`);
  }
  if (found === undefined) {
    const above = await stat(dirname(path)).catch(() => undefined);
    if (above?.isDirectory() !== true || (!directory && destination.intoDirectory)) {
      const missing = above?.isDirectory() === true ? path : dirname(path);
      throw new BangerError("file.not-found", `"${missing}" is not a directory`);
    }
  }
  return { target: path, stagingRoot: dirname(path), named: true };
}

/** Directories become passable for us; setuid, setgid and sticky bits go. Links are never followed. */
async function makeHarmless(directory: string | Buffer): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: "buffer" })) {
    const path = below(directory, entry.name);
    if (entry.isSymbolicLink()) continue;
    const { mode } = await lstat(path);
    if (entry.isDirectory()) {
      await chmod(path, (mode & 0o777) | 0o700);
      await makeHarmless(path);
    } else if (entry.isFile()) await chmod(path, mode & 0o777);
  }
}

async function removeSpecialFiles(directory: string | Buffer): Promise<number> {
  let removed = 0;
  for (const entry of await readdir(directory, { withFileTypes: true, encoding: "buffer" })) {
    const path = below(directory, entry.name);
    if (entry.isDirectory()) removed += await removeSpecialFiles(path);
    else if (!entry.isFile() && !entry.isSymbolicLink()) {
      await unlink(path);
      removed++;
    }
  }
  return removed;
}
