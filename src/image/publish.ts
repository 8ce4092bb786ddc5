// Makes a finished root file system an image: id, manifest, name. What has the same content is stored once.
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { ArtifactRow, ArtifactStore, ArtifactTable } from "../lib/artifact-store.ts";
import { crashPoint } from "../lib/crash-point.ts";
import { stagingDirectory, writeFileAtomic } from "../lib/files.ts";
import type { Progress } from "../lib/progress.ts";
import { defaultConfig, hostArchitecture, type ImageManifest, manifestOf } from "./manifest.ts";
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
 * Unpacks an image and publishes it. One that is there already only gets the name, without a layer being read, unless it shall be
 * rebuilt: that is refused with `image.in-use` while anything uses it, since guests keep in memory where files lie on its disk. Its
 * id is that of its config, which stands for the content of all its layers.
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
  if (before !== undefined && from.rebuild !== true) return { ...(await named(before)), outcome: "present" };
  if (before !== undefined) parts.artifacts.checkUnused(before);
  await using staging = await stagingDirectory(parts.directory);
  const rootfs = await unpackImage(image, open, join(staging.path, "rootfs.ext4"), progress, parts.limits);
  crashPoint("image.unpacked");
  await writeFileAtomic(join(staging.path, documentNames.manifest), image.raw.bytes);
  await writeFileAtomic(join(staging.path, documentNames.config), image.configBytes);
  crashPoint("image.documents-written");
  progress.signal.throwIfAborted();
  // Another reference to the same image may have been faster.
  const meanwhile = present();
  if (meanwhile !== undefined && from.rebuild !== true) return { ...(await named(meanwhile)), outcome: "present" };
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
