// A recipe of the catalog as a published image: the archive is read while it is made.
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { ArtifactRow } from "../lib/artifact-store.ts";
import { removeInside, stagingDirectory } from "../lib/files.ts";
import { type Progress, withSignal } from "../lib/progress.ts";
import { buildRecipe, type ImageRecipe } from "./catalog.ts";
import { publishRootfs, type StoreParts } from "./publish.ts";
import { type Rootfs, rootfsFromTar } from "./rootfs.ts";

/** When one half fails, the other is stopped, and waited for. */
export async function publishRecipe(
  parts: StoreParts,
  recipe: ImageRecipe,
  force: boolean,
  progress: Progress,
): Promise<ArtifactRow> {
  await using staging = await stagingDirectory(parts.directory);
  const temporary = join(staging.path, "build");
  await mkdir(temporary);
  const stop = new AbortController();
  const half = withSignal(progress, AbortSignal.any([progress.signal, stop.signal]));
  const { archive, done } = await buildRecipe(recipe, temporary, half);
  let rootfs: Rootfs;
  try {
    rootfs = await rootfsFromTar(archive, join(staging.path, "rootfs.ext4"), half);
  } catch (error) {
    stop.abort(error);
    await done.catch(() => {});
    throw error;
  }
  await done;
  await removeInside(staging.path, temporary);
  progress.signal.throwIfAborted();
  return await publishRootfs(
    parts,
    rootfs,
    { source: `catalog:${recipe.name}`, name: recipe.name, force },
    staging.path,
  );
}
