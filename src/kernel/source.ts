// Brings a kernel from where it is (a .deb file or a directory) into a staging directory, in the layout of the store:
// "kernel" and lib/modules/<release>.
import { cp, lstat, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { asDiskFull, BangerError } from "../lib/errors.ts";
import { run } from "../lib/run.ts";
import { inspectKernelFile } from "./kernel-file.ts";
import type { KernelFile } from "./kernel-file.ts";

export interface StagedKernel {
  file: KernelFile;
  release: string;
  hasModules: boolean;
}

const imageNames = /^(?:vmlinuz|vmlinux|bzImage)(?:-.*)?$/;

/** Fills `staging` from `path`. Throws `kernel.invalid` that says what is missing or broken. */
export async function stageKernel(path: string, staging: string, signal: AbortSignal): Promise<StagedKernel> {
  const info = await stat(path).catch((error: unknown) => {
    throw new BangerError("file.not-found", `cannot read "${path}"`, { cause: error });
  });
  if (info.isDirectory()) return stageDirectory(path, path, staging, signal);
  const unpacked = join(staging, "unpacked");
  try {
    await mkdir(unpacked);
    await run({ file: "dpkg-deb", args: ["-x", path, unpacked], signal });
  } catch (error) {
    const full = asDiskFull(error, `no space left to unpack "${path}"`);
    if (full !== error || !(error instanceof BangerError) || error.code !== "command.failed") throw full;
    throw new BangerError("kernel.invalid", `"${path}" is neither a directory nor a sound .deb package`, {
      cause: error,
    });
  }
  await removeLinks(unpacked);
  const staged = await stageDirectory(unpacked, path, staging, signal);
  await rm(unpacked, { recursive: true });
  return staged;
}

/**
 * Takes away all that is neither a file nor a directory. A package is somebody else's work: through a link in it ("boot", "lib")
 * files of this host would be taken for its own, and moved.
 */
async function removeLinks(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() && !entry.isDirectory()) await rm(join(entry.parentPath, entry.name));
  }
}

/** `shown` is what the user named. Files below staging are moved, others are copied. */
async function stageDirectory(
  from: string,
  shown: string,
  staging: string,
  signal: AbortSignal,
): Promise<StagedKernel> {
  const own = from.startsWith(`${staging}/`);
  const image = await findImage(from, shown);
  const file = await inspectKernelFile(image);
  const modulesRoot = await findModulesRoot(from);
  const releases = modulesRoot === undefined ? [] : await directories(modulesRoot);
  const release = file.release ?? (releases.length === 1 ? releases[0] : undefined);
  if (release === undefined) {
    throw new BangerError(
      "kernel.invalid",
      `"${image}" does not tell its release, and there is no single lib/modules/<release> beside it`,
    );
  }
  if (releases.length > 0 && !releases.includes(release)) {
    throw new BangerError(
      "kernel.invalid",
      `"${image}" is release ${release}, but "${shown}" has modules for ${releases.join(", ")}`,
    );
  }
  if (own) await rename(image, join(staging, "kernel"));
  else await cp(image, join(staging, "kernel"), { dereference: true });
  if (modulesRoot === undefined || releases.length === 0) return { file, release, hasModules: false };

  const target = join(staging, "lib", "modules", release);
  await mkdir(join(staging, "lib", "modules"), { recursive: true });
  signal.throwIfAborted();
  if (own) await rename(join(modulesRoot, release), target);
  else {
    // Links (build, source) lead out of the tree, and nothing in it needs them.
    await cp(join(modulesRoot, release), target, {
      recursive: true,
      filter: async (source) => {
        signal.throwIfAborted();
        const info = await lstat(source);
        return info.isFile() || info.isDirectory();
      },
    });
  }
  return { file, release, hasModules: true };
}

async function findImage(from: string, shown: string): Promise<string> {
  const found: string[] = [];
  for (const directory of [from, join(from, "boot")]) {
    const names = await readdir(directory).catch(() => []);
    found.push(...names.filter((name) => imageNames.test(name)).map((name) => join(directory, name)));
  }
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new BangerError(
    "kernel.invalid",
    only === undefined
      ? `"${shown}" has no kernel: looked for vmlinuz*, vmlinux* or bzImage in it and in its boot directory`
      : `"${shown}" has more than one kernel: ${found.map((path) => path.slice(from.length + 1)).join(", ")}`,
  );
}

async function findModulesRoot(from: string): Promise<string | undefined> {
  for (const root of [join(from, "lib", "modules"), join(from, "usr", "lib", "modules")]) {
    if ((await directories(root)).length > 0) return root;
  }
  return undefined;
}

async function directories(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
}
