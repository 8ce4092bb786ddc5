// The images of this host: list, find, import, pull, delete. Content-addressed below the images directory.
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import type * as v from "valibot";
import type { ImageRecord, catalogEntry } from "../api/records.ts";
import type { Paths } from "../config/paths.ts";
import { openArtifactStore } from "../lib/artifact-store.ts";
import type { ArtifactRow, ArtifactStore, ArtifactTable } from "../lib/artifact-store.ts";
import { BangerError } from "../lib/errors.ts";
import { removeInside, stagingDirectory } from "../lib/files.ts";
import type { Logger } from "../lib/log.ts";
import type { Progress } from "../lib/progress.ts";
import { SharedWork } from "../lib/shared-work.ts";
import { buildRecipe, imageCatalog } from "./catalog.ts";
import type { ImageRecipe } from "./catalog.ts";
import { rootfsFromTar } from "./rootfs.ts";
import type { Rootfs } from "./rootfs.ts";

export interface ImageStoreOptions {
  paths: Pick<Paths, "imagesDir">;
  table: ArtifactTable;
  /** Names of the VMs that use an image. */
  usedBy: (id: string) => readonly string[];
  /** Names of the snapshots that use an image. */
  snapshotsOf?: (id: string) => readonly string[];
  log: Logger;
  /** Recipes that can be pulled. Default: those of banger. */
  catalog?: readonly ImageRecipe[];
}

/** What manifest.json says. The id is the sha256 of the facts about content: archive, architecture and config. */
interface ImageManifest {
  source: string;
  rootfsSha256: string;
  architecture: string;
  config: ImageRecord["config"];
  sizeBytes: number;
  usedBytes: number;
}

export interface ImageStore {
  list(): ImageRecord[];
  /** By name, id or unambiguous prefix; `image.not-found` says what there is. */
  resolve(reference: string): ImageRecord;
  /** Refused with `image.in-use` while VMs use it. */
  delete(reference: string): Promise<void>;
  /** From a root file system archive (plain, gzip, zstd or xz). */
  importTar(options: { path: string; name: string; force?: boolean }, progress: Progress): Promise<ImageRecord>;
  /** From a recipe of the catalog. Concurrent pulls of one image share the work. */
  pull(name: string, options: { force?: boolean }, progress: Progress): Promise<ImageRecord>;
  catalog(): v.InferOutput<typeof catalogEntry>[];
  inCatalog(name: string): boolean;
}

const defaultConfig: ImageRecord["config"] = {
  environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  user: "root",
  workdir: "/root",
  command: ["/bin/sh"],
  labels: {},
};

/** Opens the store and removes what a dead process left half made. */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const directory = options.paths.imagesDir;
  const recipes = options.catalog ?? imageCatalog;
  const names = () => recipes.map((recipe) => recipe.name);
  const artifacts = await openArtifactStore({ ...options, kind: "image", directory, catalog: names });
  const pulls = new SharedWork<ImageRecord>();
  const record = (row: ArtifactRow) => toRecord(artifacts, row);

  /** Publishes staging, which holds rootfs.ext4 and nothing else. */
  const publish = async (
    rootfs: Rootfs,
    from: { source: string; name: string; force: boolean },
    staging: string,
  ): Promise<ImageRecord> => {
    const manifest: ImageManifest = {
      source: from.source,
      rootfsSha256: rootfs.tarSha256,
      architecture: rootfs.architecture ?? (process.arch === "arm64" ? "arm64" : "amd64"),
      config: defaultConfig,
      sizeBytes: rootfs.sizeBytes,
      usedBytes: rootfs.usedBytes,
    };
    const facts = [manifest.rootfsSha256, manifest.architecture, manifest.config];
    const id = createHash("sha256").update(JSON.stringify(facts)).digest("hex");
    const row = { id, name: from.name, manifest: JSON.stringify(manifest), createdAt: Date.now() };
    return record(await artifacts.add(staging, row, from.force));
  };

  const build = async (recipe: ImageRecipe, force: boolean, progress: Progress): Promise<ImageRecord> => {
    await using staging = await stagingDirectory(directory);
    const temporary = join(staging.path, "build");
    await mkdir(temporary);
    // The archive is read while it is made. When one half fails, the other is stopped, and waited for.
    const stop = new AbortController();
    const half: Progress = {
      signal: AbortSignal.any([progress.signal, stop.signal]),
      stage: (name, detail) => progress.stage(name, detail),
      bytes: (done, total) => progress.bytes(done, total),
    };
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
    return await publish(rootfs, { source: `catalog:${recipe.name}`, name: recipe.name, force }, staging.path);
  };

  return {
    list: () => artifacts.list().map(record),
    resolve: (reference) => record(artifacts.resolve(reference)),
    delete: (reference) => artifacts.delete(reference),
    async importTar({ path, name, force = false }, progress) {
      artifacts.checkName(name, force);
      progress.stage("unpack", basename(path));
      await using staging = await stagingDirectory(directory);
      const rootfs = await rootfsFromTar(path, join(staging.path, "rootfs.ext4"), progress);
      return await publish(rootfs, { source: `tar:${basename(path)}`, name, force }, staging.path);
    },
    async pull(name, { force = false }, progress) {
      const recipe = recipes.find((entry) => entry.name === name);
      if (recipe === undefined) {
        throw new BangerError("image.not-found", `the catalog has no image "${name}": it has ${names().join(", ")}`, {
          hint: "banger image catalog",
        });
      }
      artifacts.checkName(name, force);
      return pulls.run(name, progress, (inner) => build(recipe, force, inner));
    },
    catalog: () =>
      recipes.map(({ name, description, architecture }) => ({
        name,
        description,
        architecture,
        present: artifacts.list().some((row) => row.name === name),
      })),
    inCatalog: (name) => names().includes(name),
  };
}

function toRecord(artifacts: ArtifactStore, row: ArtifactRow): ImageRecord {
  const { source, rootfsSha256, architecture, config, sizeBytes, usedBytes } = JSON.parse(
    row.manifest,
  ) as ImageManifest;
  return {
    id: row.id,
    name: row.name,
    source,
    rootfsPath: join(artifacts.directoryOf(row.id), "rootfs.ext4"),
    rootfsSha256,
    sizeBytes,
    usedBytes,
    architecture,
    config,
    createdAt: row.createdAt,
  };
}
