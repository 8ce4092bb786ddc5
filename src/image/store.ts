// The images of this host: list, find, import, pull, tag, delete. Content-addressed below the images directory.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type * as v from "valibot";
import type { imageCatalogEntry } from "../api/image-methods.ts";
import type { ImageRecord } from "../api/records.ts";
import type { Paths } from "../config/paths.ts";
import { type ArtifactRow, type ArtifactTable, openArtifactStore } from "../lib/artifact-store.ts";
import { BangerError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { Progress } from "../lib/progress.ts";
import { SharedWork } from "../lib/shared-work.ts";
import { exportImage, type ExportRequest } from "./export.ts";
import { publishRecipe } from "./build-recipe.ts";
import { type ImageRecipe, imageCatalog } from "./catalog.ts";
import { importImage, type ImportRequest } from "./import.ts";
import { type ImageManifest, toRecord } from "./manifest.ts";
import { addName, holderOf, namesMeant, normalName, resolveImageName } from "./names.ts";
import { BlobFetches } from "./oci/blob-fetch.ts";
import { BlobStore } from "./oci/blob-store.ts";
import { type HistoryEntry, parseConfig } from "./oci/config.ts";
import { parseManifest } from "./oci/manifest.ts";
import type { Registries } from "./oci/source.ts";
import { catalogEntries } from "./pinned/entries.ts";
import { pullPinned } from "./pinned/pull.ts";
import type { PinnedImage } from "./pinned/schema.ts";
import { explainWord, pullImage } from "./pull.ts";
import { documentNames, type Outcome, type StoreParts } from "./publish.ts";
import { promoteImage, registerImage, type RegisterRequest } from "./register.ts";
import { defaultLimits, limitsOf } from "./rootfs.ts";
import { ImageTags } from "./tags.ts";
import { UnfinishedExports } from "./unfinished-exports.ts";

export interface ImageStoreOptions {
  paths: Pick<
    Paths,
    "imagesDir" | "imageTagsFile" | "insecureImagesFile" | "imageExportsDir" | "cacheDir" | "blobsDir"
  >;
  table: ArtifactTable;
  /** Names of the VMs that use an image. */
  usedBy: (id: string) => readonly string[];
  /** Names of the snapshots that use an image. */
  snapshotsOf?: (id: string) => readonly string[];
  log: Logger;
  /** What one image may be: bytes of its files, number of its entries. Default: 64 GiB, a million. */
  limits?: { maxBytes: number; maxEntries: number };
  /** Recipes that can be pulled. Default: those of banger. */
  catalog?: readonly ImageRecipe[];
  /** Images of registries that can be pulled by a name of the catalog. Default: none. */
  pinned?: readonly PinnedImage[];
  /** Absent: nothing is pulled from registries. */
  registries?: Registries;
}

export interface PullRequest {
  /** Make it again although it is there; `image.in-use` while anything uses it. */
  force?: boolean | undefined;
  /** "linux/arm64". Default: this host's. */
  platform?: string | undefined;
  /** Plain HTTP and any certificate are fine. Default: when they were at the last pull of this reference. */
  insecure?: boolean | undefined;
}

/** An image, and what a pull has done besides. */
export type PulledImage = ImageRecord & { pulled: { outcome: Outcome; insecure: boolean } };

/** The documents that an image was made of, as text. */
export interface ImageDocuments {
  manifest: string;
  config: string;
}

export interface ImageStore {
  list(): ImageRecord[];
  /** By name, tag, digest, id or unambiguous prefix; `image.not-found` says what there is. */
  resolve(reference: string): ImageRecord;
  /** With all its names. Refused with `image.in-use` while VMs use it. */
  delete(reference: string): Promise<void>;
  /** From an image layout, an archive of images, or the tar of a root file system (plain, gzip, zstd or xz). */
  importFrom(request: ImportRequest, progress: Progress): Promise<ImageRecord>;
  /** An image or a recipe of the catalog, or what a registry has. Concurrent pulls of one image share the work. */
  pull(name: string, options: PullRequest, progress: Progress): Promise<PulledImage>;
  /** One more name. With `force` it is taken from whoever has it. */
  tag(reference: string, name: string, options: { force?: boolean | undefined }): Promise<ImageRecord>;
  /** Takes a name away; the last one of an image cannot be. */
  untag(name: string): Promise<ImageRecord>;
  /** As an OCI image layout; of a single layer when it never had others, or they cannot be had any more. */
  export(
    request: ExportRequest & { image: string },
    progress: Progress,
  ): Promise<{ path: string; manifest: string; bytes: number; original: boolean }>;
  /** Of an ext4 file, which stays where it is, or of a directory tree. */
  register(request: RegisterRequest, progress: Progress): Promise<ImageRecord>;
  /** Copies the file of a registered image into the store. */
  promote(reference: string, progress: Progress): Promise<ImageRecord>;
  /** `image.invalid` for an image that was made of a file system. */
  inspect(reference: string): Promise<ImageDocuments>;
  /** How it was made, the first step first. Empty when nothing is known. */
  history(reference: string): Promise<HistoryEntry[]>;
  /** Blobs of pulled images. */
  readonly cache: Pick<BlobStore, "directory" | "list" | "verify" | "prune">;
  catalog(): v.InferOutput<typeof imageCatalogEntry>[];
  /** True when `pull` can be tried without being asked to: for what is in the catalog, and for names that only a registry's image can have. */
  inCatalog(name: string): boolean;
}

/** Opens the store and removes what a dead process left half made. */
export async function openImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  const { paths, registries, table } = options;
  const directory = paths.imagesDir;
  const pinned = options.pinned ?? [];
  const isPinned = (name: string) => pinned.some((entry) => entry.name === name);
  // A list of the user may give the name of a recipe to something else.
  const recipes = (options.catalog ?? imageCatalog).filter((recipe) => !isPinned(recipe.name));
  const names = () => [...recipes, ...pinned].map((entry) => entry.name);
  const artifacts = await openArtifactStore({
    ...options,
    kind: "image",
    directory,
    catalog: names,
    checkName: (name) => void normalName(name, registries),
  });
  const isThere = (id: string) => artifacts.list().some((row) => row.id === id);
  const tags = await ImageTags.open(paths.imageTagsFile, isThere, options.log);
  const insecureNames = await ImageTags.open(paths.insecureImagesFile, isThere, options.log);
  const isInsecure = (name: string) => isThere(insecureNames.idOf(name) ?? "");
  const limits = options.limits === undefined ? defaultLimits : limitsOf(options.limits);
  const parts: StoreParts = { directory, artifacts, tags, table, limits };
  const blobs = await BlobStore.open(paths.blobsDir, options.log);
  const fetches = new BlobFetches(blobs);
  const exports = await UnfinishedExports.open(paths.imageExportsDir);
  const pulls = new SharedWork<PulledImage>();
  const record = (row: ArtifactRow): ImageRecord =>
    toRecord(
      row,
      join(artifacts.directoryOf(row.id), "rootfs.ext4"),
      tags.of(row.id).filter((name) => name !== row.name),
    );
  const find = (reference: string) => resolveImageName(reference, { artifacts, tags, registries });
  const documents = async (row: ArtifactRow): Promise<{ manifest: Buffer; config: Buffer } | undefined> => {
    if ((JSON.parse(row.manifest) as ImageManifest).digests === undefined) return undefined;
    const file = (name: string) => readFile(join(artifacts.directoryOf(row.id), name));
    return { manifest: await file(documentNames.manifest), config: await file(documentNames.config) };
  };

  return {
    list: () => artifacts.list().map(record),
    resolve: (reference) => record(find(reference)),
    async delete(reference) {
      const { id } = find(reference);
      await artifacts.delete(id);
      await tags.forget(id);
      await insecureNames.forget(id);
    },
    async importFrom(request, progress) {
      return record(await importImage({ ...parts, registries, stagingRoot: paths.imagesDir }, request, progress));
    },
    async pull(name, request, progress) {
      const recipe = recipes.find((entry) => entry.name === name);
      const force = request.force ?? false;
      if (recipe !== undefined) {
        artifacts.checkName(name, force);
        return pulls.run(name, progress, async (inner) => ({
          ...record(await publishRecipe(parts, recipe, force, inner)),
          pulled: { outcome: "made", insecure: false },
        }));
      }
      if (registries === undefined) {
        throw new BangerError("image.not-found", `the catalog has no image "${name}": it has ${names().join(", ")}`, {
          hint: "banger image catalog",
        });
      }
      const entry = pinned.find((other) => other.name === name);
      const normal = entry === undefined ? registries.normalize(name) : name;
      const insecure = request.insecure ?? isInsecure(normal);
      const key = JSON.stringify([normal, request.platform, insecure, force]);
      const how = { ...request, insecure };
      return pulls.run(key, progress, async (inner) => {
        const get = async (reference: string) => {
          const row = await pullImage({ ...parts, registries, blobs, fetches }, reference, how, inner);
          if (insecure) await insecureNames.set(reference, row.id);
          else await insecureNames.remove(reference);
          return row;
        };
        if (entry === undefined) {
          const row = await get(normal).catch((error: unknown) => {
            throw explainWord(name, error);
          });
          return { ...record(row), pulled: { outcome: row.outcome, insecure } };
        }
        const { row, pulled } = await pullPinned({ ...parts, registries }, entry, how, get);
        return { ...record(row), pulled: { outcome: pulled?.outcome ?? "present", insecure } };
      });
    },
    async tag(reference, name, { force = false }) {
      const row = find(reference);
      const normal = normalName(name, registries);
      const holder = holderOf(normal, artifacts, tags);
      if (holder !== undefined && holder !== row.id && !force) {
        throw new BangerError("image.exists", `there is already an image "${normal}"`, {
          hint: `banger image tag ${reference} ${normal} --force`,
        });
      }
      return record(await addName(row, normal, parts));
    },
    async untag(name) {
      // Names of the catalog may have dots, and are no references.
      const normal = holderOf(name, artifacts, tags) === undefined ? normalName(name, registries) : name;
      const id = holderOf(normal, artifacts, tags);
      const row = artifacts.list().find((entry) => entry.id === id);
      if (row === undefined) {
        throw new BangerError("image.not-found", `no image has the name "${normal}"`, { hint: "banger image list" });
      }
      const [other] = tags.of(row.id);
      if (other === undefined) {
        throw new BangerError("image.in-use", `"${normal}" is the only name of image ${row.id.slice(0, 12)}`, {
          hint: `banger image delete ${normal}`,
        });
      }
      if (row.name === normal) {
        table.rename(row.id, other);
        await table.settled();
        await tags.remove(other);
      } else await tags.remove(normal);
      return record(find(row.id));
    },
    async export({ image, ...request }, progress) {
      const row = find(image);
      return exportImage(
        { registries, blobs, fetches, isInsecure, exports },
        record(row),
        await documents(row),
        { ...request, names: namesMeant(image, row, parts, registries) },
        progress,
      );
    },
    async register(request, progress) {
      return record(await registerImage(parts, request, progress));
    },
    async promote(reference, progress) {
      const row = find(reference);
      return record(await promoteImage(artifacts, row, progress));
    },
    async inspect(reference) {
      const row = find(reference);
      const found = await documents(row);
      if (found !== undefined) return { manifest: found.manifest.toString(), config: found.config.toString() };
      throw new BangerError("image.invalid", `image "${row.name}" was made of a file system: it has no manifest`, {
        hint: `banger image show ${row.name}`,
      });
    },
    async history(reference) {
      const row = find(reference);
      const found = await documents(row);
      const { digests } = record(row);
      if (found === undefined || digests === null) return [];
      const mediaType = (JSON.parse(found.manifest.toString()) as { mediaType?: string }).mediaType;
      const manifest = parseManifest(
        {
          bytes: found.manifest,
          digest: digests.manifest,
          mediaType: mediaType ?? "application/vnd.oci.image.manifest.v1+json",
        },
        row.name,
      );
      return manifest.kind === "manifest" ? [...parseConfig(found.config, manifest, row.name).history] : [];
    },
    cache: blobs,
    catalog: () => catalogEntries(recipes, pinned, artifacts.list(), (name) => holderOf(name, artifacts, tags)),
    inCatalog: (name) => names().includes(name) || (registries !== undefined && /[:/@]/.test(name)),
  };
}
