// Host to VM: where the entries go, and a tar that names them so.
import { mkdtemp, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, posix, resolve } from "node:path";
import type { Readable } from "node:stream";
import { BangerError } from "../../lib/errors.ts";
import type { Client } from "../../sdk/client.ts";
import type { Place } from "./place.ts";
import { packTar } from "./tar.ts";

type HostPlace = Extract<Place, { kind: "host" }> & { cwd: string };
type GuestPlace = Extract<Place, { kind: "guest" }>;

/** What is sent: `name` inside the archive, unpacked below `directory` in the guest. */
interface Plan {
  directory: string;
  /** "." for the content of a directory. */
  name: string;
}

/** Copies a file or directory. Throws `file.not-found` or `file.failed` when the places do not fit. */
export async function copyToGuest(
  client: Client,
  source: HostPlace,
  destination: GuestPlace,
  signal: AbortSignal,
): Promise<{ entries: number }> {
  const path = resolve(source.cwd, source.path);
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT")
      throw new BangerError("file.not-found", `"${source.path}" does not exist on this host`);
    throw new BangerError("file.failed", `cannot read "${source.path}": ${error.message}`, { cause: error });
  });
  if (!info.isDirectory() && !info.isFile()) {
    throw new BangerError("file.failed", `"${source.path}" is neither a file nor a directory`);
  }
  const plan = await planUpload(
    client,
    { path, directory: info.isDirectory(), contents: source.contents },
    destination,
    signal,
  );
  if (info.isDirectory() && plan.name === ".") return await send(client, path, plan, destination.vm, signal);
  if (plan.name === basename(path) && info.isDirectory()) {
    return await send(client, dirname(path), plan, destination.vm, signal);
  }
  // Another name in the archive than on the disk: a link with the wanted name, which tar follows. A file is sent this way
  // always, so that a link to a file is copied as the file.
  const staging = await mkdtemp(join(tmpdir(), "banger-cp-"));
  try {
    await symlink(path, join(staging, plan.name));
    return await send(client, staging, plan, destination.vm, signal, true);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Unpacks a tar from a stream below a directory of the guest. */
export async function unpackStream(
  client: Client,
  tar: Readable,
  destination: GuestPlace,
  signal: AbortSignal,
): Promise<{ entries: number }> {
  return await client.upload("vm.unpack", { vm: destination.vm, directory: destination.path }, tar, { signal });
}

async function send(
  client: Client,
  root: string,
  plan: Plan,
  vm: string,
  signal: AbortSignal,
  follow = false,
): Promise<{ entries: number }> {
  const archive = packTar(root, plan.name, { follow, signal });
  const reply = await client.upload("vm.unpack", { vm, directory: plan.directory }, archive.stream, { signal });
  await archive.finished;
  return reply;
}

async function planUpload(
  client: Client,
  source: { path: string; directory: boolean; contents: boolean },
  destination: GuestPlace,
  signal: AbortSignal,
): Promise<Plan> {
  const { vm, path } = destination;
  const name = basename(source.path);
  const { file } = await client.call("vm.stat", { vm, path }, { signal });
  if (file?.directory === true) {
    return { directory: path, name: source.directory && (source.contents || name === "") ? "." : name };
  }
  if (file !== null && source.directory) {
    throw new BangerError("file.failed", `cannot copy a directory onto the file "${vm}:${path}"`);
  }
  if (file === null) {
    const parent = posix.dirname(path);
    const { file: above } = await client.call("vm.stat", { vm, path: parent }, { signal });
    if (above?.directory !== true) throw new BangerError("file.not-found", `"${vm}:${parent}" is not a directory`);
    if (!source.directory && destination.intoDirectory) {
      throw new BangerError("file.not-found", `"${vm}:${path}" is not a directory`);
    }
    if (source.directory) return { directory: path, name: "." };
  }
  return { directory: posix.dirname(path), name: posix.basename(path) };
}
