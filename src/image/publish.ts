// Makes a finished root file system an image: id, manifest, name. What has the same content is stored once.
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { ArtifactRow, ArtifactStore, ArtifactTable } from "../lib/artifact-store.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { stagingDirectory, writeFileAtomic } from "../lib/files.ts";
import type { Progress } from "../lib/progress.ts";
import { defaultConfig, digestsOf, hostArchitecture, type ImageManifest, manifestOf } from "./manifest.ts";
import { addName, freeName } from "./names.ts";
import { splitDigest } from "./oci/digest.ts";
import type { ResolvedImage } from "./oci/resolve-image.ts";
import { type OpenLayer, unpackImage } from "./oci/unpack.ts";
import type { Rootfs, RootfsLimits } from "./rootfs.ts";
import type { ImageTags } from "./tags.ts";

/** What the parts of the store share. */
export interface StoreParts {
  directory: string;
  artifacts: ArtifactStore;
  tags: ImageTags;
  table: ArtifactTable;
  limits: RootfsLimits;
}

export interface Origin {
  source: string;
  name: string;
  force: boolean;
}

/** Names of the raw documents in an image's directory; absent for images that were made of a file system. */
export const documentNames = { manifest: "oci-manifest.json", config: "oci-config.json" } as const;

/** Publishes staging, which holds rootfs.ext4 and nothing else, of a file system that came without a config. */
export async function publishRootfs(
  parts: StoreParts,
  rootfs: Rootfs,
  from: Origin,
  staging: string,
): Promise<ArtifactRow> {
  const manifest: ImageManifest = {
    source: from.source,
    rootfsSha256: rootfs.tarSha256,
    architecture: rootfs.architecture ?? hostArchitecture,
    config: defaultConfig,
    sizeBytes: rootfs.sizeBytes,
    usedBytes: rootfs.usedBytes,
  };
  const facts = [manifest.rootfsSha256, manifest.architecture, manifest.config];
  const id = createHash("sha256").update(JSON.stringify(facts)).digest("hex");
  const row = { id, name: from.name, manifest: JSON.stringify(manifest), createdAt: Date.now() };
  if (from.force) await freeName(from.name, id, parts);
  return await parts.artifacts.add(staging, row, from.force);
}

/** made: it was not there; present: it was, and got the name at most; rebuilt: its disk was made again of the same content. */
export type Outcome = "made" | "present" | "rebuilt";
export type PublishedRow = ArtifactRow & { outcome: Outcome };

/**
 * Unpacks an image and publishes it. One that is there already only gets the name and the manifest that a registry has for it, without a
 * layer being read, unless it shall be rebuilt: that is refused with `image.in-use` while anything uses it, since guests keep in memory
 * where files lie on its disk. Its id is that of its config, which stands for the content of all its layers.
 */
export async function publishImage(
  parts: StoreParts,
  image: ResolvedImage,
  open: OpenLayer,
  from: Origin & { rebuild?: boolean },
  progress: Progress,
): Promise<PublishedRow> {
  const { algorithm, hex } = splitDigest(image.manifest.config.digest);
  const id = algorithm === "sha256" ? hex : createHash("sha256").update(hex).digest("hex");
  const present = () => parts.artifacts.list().find((row) => row.id === id);
  const before = present();
  const named = async (row: ArtifactRow) => await addName(row, from.name, parts);
  const isThere = async (row: ArtifactRow) => ({
    ...(await named(await describeAnew(parts, row, image, from.source))),
    outcome: "present" as const,
  });
  if (before !== undefined && from.rebuild !== true) return await isThere(before);
  if (before !== undefined) parts.artifacts.checkUnused(before);
  await using staging = await stagingDirectory(parts.directory);
  const rootfs = await unpackImage(image, open, join(staging.path, "rootfs.ext4"), progress, parts.limits);
  crashPoint("image.unpacked");
  await writeDocuments(staging.path, image);
  crashPoint("image.documents-written");
  progress.signal.throwIfAborted();
  // Another reference to the same image may have been faster.
  const meanwhile = present();
  if (meanwhile !== undefined && from.rebuild !== true) return await isThere(meanwhile);
  const manifest = JSON.stringify(manifestOf(image, rootfs, from.source));
  const row = { id, name: from.name, manifest, createdAt: Date.now() };
  if (meanwhile !== undefined) {
    const files = ["rootfs.ext4", ...Object.values(documentNames)];
    return { ...(await named(await parts.artifacts.replace(staging.path, row, files))), outcome: "rebuilt" };
  }
  await freeName(from.name, id, parts);
  crashPoint("image.name-freed");
  return { ...(await parts.artifacts.add(staging.path, row, true)), outcome: "made" };
}

/**
 * The same content under another manifest, be it that an archive had brought it or that its layers were packed anew: what a registry says
 * last is what the image is called and exported by.
 */
async function describeAnew(
  { artifacts, directory }: StoreParts,
  row: ArtifactRow,
  image: ResolvedImage,
  source: string,
): Promise<ArtifactRow> {
  const before = JSON.parse(row.manifest) as ImageManifest;
  if (!source.startsWith("registry:") || before.digests?.manifest === image.raw.digest) return row;
  await using staging = await stagingDirectory(directory);
  await writeDocuments(staging.path, image);
  const manifest = JSON.stringify({ ...before, source, digests: digestsOf(image) });
  return await artifacts.describe(staging.path, { ...row, manifest }, Object.values(documentNames));
}

async function writeDocuments(directory: string, image: ResolvedImage): Promise<void> {
  await writeFileAtomic(join(directory, documentNames.manifest), image.raw.bytes);
  await writeFileAtomic(join(directory, documentNames.config), image.configBytes);
}
