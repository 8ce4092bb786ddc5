// Images of files that stay where they are: an ext4 file of the user's. A directory tree is copied, for lack of a way to boot from it.
import { copyFile, lstat, open, readlink, rename, stat, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { ArtifactRow, ArtifactStore } from "../lib/artifact-store.ts";
import { BangerError } from "../lib/errors.ts";
import { stagingDirectory, syncDirectory } from "../lib/files.ts";
import type { Progress } from "../lib/progress.ts";
import { run } from "../lib/run.ts";
import { inThread } from "./file-work/thread.ts";
import { hostArchitecture, type ImageManifest } from "./manifest.ts";
import { publishRootfs, type StoreParts } from "./publish.ts";
import { rootfsFromDirectory } from "./rootfs.ts";

export interface RegisterRequest {
  path: string;
  name: string;
  force?: boolean;
}

const rootfsName = "rootfs.ext4";

/**
 * An ext4 file must not change while it is registered: its content is what the id stands for. Throws `file.not-found`,
 * `image.invalid`, `image.exists`.
 */
export async function registerImage(
  parts: StoreParts,
  { path, name, force = false }: RegisterRequest,
  progress: Progress,
): Promise<ArtifactRow> {
  parts.artifacts.checkName(name, force);
  const info = await stat(path).catch((error: unknown) => {
    throw new BangerError("file.not-found", `cannot read "${path}"`, { cause: error });
  });
  await using staging = await stagingDirectory(parts.directory);
  const target = join(staging.path, rootfsName);
  if (info.isDirectory()) {
    progress.stage("unpack", basename(path));
    const rootfs = await rootfsFromDirectory(path, target, progress, parts.limits);
    return await publishRootfs(parts, rootfs, { source: `directory:${basename(path)}`, name, force }, staging.path);
  }
  if (!info.isFile() || !(await isExt4(path))) {
    throw new BangerError("image.invalid", `"${path}" is neither an ext4 file nor a directory`, {
      hint: `banger image import ${path}`,
    });
  }
  progress.stage("verify", basename(path));
  const tarSha256 = await inThread({ do: "digest", path }, progress);
  await symlink(path, target);
  const rootfs = {
    tarSha256,
    sizeBytes: info.size,
    usedBytes: 0,
    architecture: hostArchitecture,
    diffIds: [],
    warnings: [],
  };
  return await publishRootfs(parts, rootfs, { source: `file:${path}`, name, force }, staging.path);
}

/** Replaces the link to a registered file by a copy. One that is no link is as it should be. */
export async function promoteImage(
  artifacts: ArtifactStore,
  row: ArtifactRow,
  progress: Progress,
): Promise<ArtifactRow> {
  const directory = artifacts.directoryOf(row.id);
  const file = join(directory, rootfsName);
  if (!(await lstat(file)).isSymbolicLink()) return row;
  const from = await readlink(file);
  progress.stage("copy", basename(from));
  // Beside the image and not in it: what a killed daemon leaves there is swept away.
  await using staging = await stagingDirectory(dirname(directory));
  const copy = join(staging.path, rootfsName);
  try {
    // Keeps holes, and shares the blocks where the file system can.
    await run({ file: "cp", args: ["--reflink=auto", "--sparse=always", "--", from, copy], signal: progress.signal });
  } catch (error) {
    if (!(error instanceof BangerError) || error.code !== "command.missing") {
      progress.signal.throwIfAborted();
      throw new BangerError("image.invalid", `the file of image "${row.name}" cannot be copied from "${from}"`, {
        cause: error,
      });
    }
    await copyFile(from, copy);
  }
  await using opened = await open(copy, "r+");
  await opened.sync();
  const { blocks } = await opened.stat();
  await rename(copy, file);
  await syncDirectory(directory);
  // Since now it takes something of our own.
  const manifest: ImageManifest = { ...(JSON.parse(row.manifest) as ImageManifest), usedBytes: blocks * 512 };
  return await artifacts.describe(staging.path, { ...row, manifest: JSON.stringify(manifest) }, []);
}

async function isExt4(path: string): Promise<boolean> {
  await using file = await open(path, "r");
  const magic = Buffer.alloc(2);
  await file.read(magic, 0, 2, 1024 + 56);
  return magic.readUInt16LE(0) === 0xef53;
}
