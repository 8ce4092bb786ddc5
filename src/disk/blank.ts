// Blank disks: sparse ext4 files, empty until the guest writes. All of one size and label are alike, so they are written from a
// cached recipe: this lies on the path of every first start of a VM.
import { createHash, randomBytes } from "node:crypto";
import { open, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { asDiskFull, BangerError } from "../lib/errors.ts";
import { ensureDirectory, syncDirectory, writeFileAtomic } from "../lib/files.ts";
import { run } from "../lib/run.ts";
import { applyRecipe, decodeRecipe, encodeRecipe, readRecipe, type Recipe } from "./blank-recipe.ts";

/** Recipes that are kept: the most recently used ones. */
const maxRecipes = 8;
/** Larger blank disks have more metadata than is worth keeping. */
const maxCachedBytes = 256 * 1024 ** 3;
/** What a killed process left in the cache is removed when it is older. */
const abandonedAfterMs = 3_600_000;

/**
 * The tables are left to be made when they are needed: making 8 GiB of them would take longer than a boot. Without the resize
 * inode a blank disk takes 0.2 MB instead of 4.3 MB; the file system can grow all the same (64bit, meta_bg).
 */
const options = (label: string) => [
  ...["-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-J", "size=16", "-O", "64bit,metadata_csum,^resize_inode"],
  ...["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0"],
];

/**
 * Makes an empty ext4 file of `sizeBytes` (0600) unless it exists. It gets its name only when it is whole and on the disk, so
 * that a crash leaves no half disk that a later start believes in. `cacheDir`: keeps recipes in `<cacheDir>/blank`; without it,
 * or without qemu-img, each disk is made by mke2fs. Throws `disk.full`, `command.missing`, `command.failed`, or the signal's reason.
 */
export async function ensureDisk(
  path: string,
  label: string,
  sizeBytes: number,
  signal: AbortSignal,
  cacheDir?: string,
): Promise<void> {
  if (await exists(path)) return;
  await publishDisk(path, signal, async (staging) => {
    const recipe = await recipeFor(cacheDir, label, sizeBytes, signal);
    if (recipe === undefined) await makeFileSystem(staging, label, sizeBytes, signal);
    return recipe;
  });
}

/**
 * Makes the disk that a recipe file describes (`saveRecipe`), which must not exist, in the way of `ensureDisk`. False, and nothing is
 * made, when the file is damaged or gone.
 */
export async function makeDisk(path: string, recipeFile: string, signal: AbortSignal): Promise<boolean> {
  const recipe = await load(recipeFile, { touch: false });
  if (recipe === undefined) return false;
  await publishDisk(path, signal, async () => recipe);
  return true;
}

/** Writes down, durably, what a disk consists of. False when it is too much for that. Throws `command.missing` without qemu-img. */
export async function saveRecipe(
  path: string,
  recipeFile: string,
  { signal }: { signal: AbortSignal },
): Promise<boolean> {
  const recipe = await readRecipe(path, { signal });
  if (recipe !== undefined) await writeFileAtomic(recipeFile, encodeRecipe(recipe));
  return recipe !== undefined;
}

/** `fill` makes the file, or says what it shall consist of. */
async function publishDisk(
  path: string,
  signal: AbortSignal,
  fill: (staging: string) => Promise<Recipe | undefined>,
): Promise<void> {
  const staging = `${path}.new`;
  try {
    const recipe = await fill(staging);
    await using file = await open(staging, recipe === undefined ? "r+" : "w", 0o600);
    if (recipe !== undefined) await applyRecipe(file, recipe);
    signal.throwIfAborted();
    await file.datasync();
    await rename(staging, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(staging, { force: true });
    throw asDiskFull(error, `no space left to make the disk "${path}"`);
  }
}

async function recipeFor(
  cacheDir: string | undefined,
  label: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<Recipe | undefined> {
  if (cacheDir === undefined || sizeBytes > maxCachedBytes) return undefined;
  const directory = join(cacheDir, "blank");
  const version = createHash("sha256").update(options(label).join(" ")).digest("hex").slice(0, 12);
  const path = join(directory, `${sizeBytes}-${label}-${version}.recipe`);
  const cached = await load(path, { touch: true });
  if (cached?.sizeBytes === sizeBytes) return cached;
  try {
    return await makeRecipe(directory, path, label, sizeBytes, signal);
  } catch (error) {
    // Without qemu-img disks are made one by one.
    if (error instanceof BangerError && error.code === "command.missing") return undefined;
    throw error;
  }
}

async function load(path: string, { touch }: { touch: boolean }): Promise<Recipe | undefined> {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const now = new Date();
  // Says that it is in use. Another process may have removed it by now: what was read is good all the same.
  if (touch) await utimes(path, now, now).catch(() => {});
  return decodeRecipe(content);
}

/** Several may make the same one at the same time: each publishes a whole file. */
async function makeRecipe(
  directory: string,
  path: string,
  label: string,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<Recipe | undefined> {
  await ensureDirectory(directory);
  const model = join(directory, `${randomBytes(6).toString("hex")}.tmp`);
  try {
    await makeFileSystem(model, label, sizeBytes, signal);
    const recipe = await readRecipe(model, { signal });
    if (recipe !== undefined) await writeFileAtomic(path, encodeRecipe(recipe));
    await prune(directory);
    return recipe;
  } finally {
    await rm(model, { force: true });
  }
}

async function makeFileSystem(path: string, label: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
  {
    await using file = await open(path, "w", 0o600);
    await file.truncate(sizeBytes);
  }
  await run({ file: "mke2fs", args: [...options(label), path], timeoutMs: 60_000, signal });
}

async function prune(directory: string): Promise<void> {
  const files: { path: string; usedAt: number }[] = [];
  for (const name of await readdir(directory)) {
    const path = join(directory, name);
    const usedAt = (await stat(path).catch(() => undefined))?.mtimeMs;
    if (usedAt === undefined) continue;
    if (name.endsWith(".recipe")) files.push({ path, usedAt });
    else if (usedAt < Date.now() - abandonedAfterMs) await rm(path, { force: true });
  }
  files.sort((a, b) => b.usedAt - a.usedAt);
  for (const { path } of files.slice(maxRecipes)) await rm(path, { force: true });
}

/** Throws when it cannot be known. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
