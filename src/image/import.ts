// Images from files of this host: image layouts, archives of images, tars of root file systems.
import { basename, join } from "node:path";
import type { ArtifactRow } from "../lib/artifact-store.ts";
import { BangerError } from "../lib/errors.ts";
import { stagingDirectory } from "../lib/files.ts";
import { nameFromFile } from "../lib/name-from-file.ts";
import type { Progress } from "../lib/progress.ts";
import { wholeBlob } from "./layer/blob-file.ts";
import { holderOf, normalName } from "./names.ts";
import { type Engine, saveFromEngine } from "./oci/engine.ts";
import { type ImageFile, openImage } from "./oci/open-image.ts";
import { parsePlatform } from "./oci/platform.ts";
import { resolveImage } from "./oci/resolve-image.ts";
import type { Registries } from "./oci/source.ts";
import type { OpenLayer } from "./oci/unpack.ts";
import { publishImage, publishRootfs, type StoreParts } from "./publish.ts";
import { rootfsFromTar } from "./rootfs.ts";

export interface ImportRequest {
  /** Absolute path of a file or directory. Absent: `engine` and `reference` say what is imported. */
  path?: string | undefined;
  engine?: Engine | undefined;
  /** Default: what the archive calls the image, else made of the file's name. */
  name?: string | undefined;
  /** Which image of an archive that has several: a name in it, or a digest. */
  reference?: string | undefined;
  /** "linux/arm64". Default: this host's. */
  platform?: string | undefined;
  /** Takes the name over from an older image. */
  force?: boolean | undefined;
  /** What it is called in messages and in the record. Default: the file's name. */
  shown?: string | undefined;
}

/** Throws `file.not-found`, `image.invalid`, `image.exists`, `image.not-found` (the archive has no such image). */
export async function importImage(
  parts: StoreParts & { registries: Registries | undefined; stagingRoot: string },
  request: ImportRequest,
  progress: Progress,
): Promise<ArtifactRow> {
  if (request.engine !== undefined) {
    const reference = request.reference ?? "";
    await using staging = await stagingDirectory(parts.stagingRoot);
    const archive = join(staging.path, "images.tar");
    await saveFromEngine(request.engine, reference, archive, progress);
    const { name = reference, platform, force } = request;
    const shown = `${request.engine}:${reference}`;
    return await importImage(parts, { path: archive, name, platform, force, shown }, progress);
  }
  const { path = "", force = false, shown = basename(path) } = request;
  const platform = request.platform === undefined ? undefined : parsePlatform(request.platform);
  const given = request.name === undefined ? undefined : normalName(request.name, parts.registries);
  if (given !== undefined) checkFree(parts, given, force);
  progress.stage("unpack", shown);
  await using file = await openImage(
    path,
    { stagingRoot: parts.stagingRoot, maxBytes: parts.limits.maxUnpackedBytes },
    progress,
  );
  if (file === undefined) {
    if (request.reference !== undefined) {
      throw new BangerError("image.invalid", `"${shown}" is the tar of a file system: it has no images to choose from`);
    }
    const name = given ?? nameFromFile(shown);
    parts.artifacts.checkName(name, force);
    await using staging = await stagingDirectory(parts.directory);
    const rootfs = await rootfsFromTar(path, join(staging.path, "rootfs.ext4"), progress, parts.limits);
    return await publishRootfs(parts, rootfs, { source: `tar:${shown}`, name, force }, staging.path);
  }
  const { signal } = progress;
  const image = await resolveImage(file.source, request.reference ?? "", { platform, shown, signal });
  const name = given ?? nameOf(file, request.reference, shown, parts.registries);
  checkFree(parts, name, force);
  const from = { source: `${file.kind}:${shown}`, name, force };
  const open: OpenLayer = async (layer) => wholeBlob(await file.source.section(layer), layer);
  return await publishImage(parts, image, open, from, progress);
}

function checkFree({ artifacts, tags }: StoreParts, name: string, force: boolean): void {
  if (force || holderOf(name, artifacts, tags) === undefined) return;
  throw new BangerError("image.exists", `there is already an image "${name}"`, {
    hint: "banger image list  # or repeat with --force to take the name over",
  });
}

/** A whole reference as it is; a tag alone belongs to what the file is called. */
function nameOf(
  { names }: ImageFile,
  reference: string | undefined,
  shown: string,
  registries: Registries | undefined,
): string {
  const known =
    reference !== undefined && names.includes(reference) ? reference : names.length === 1 ? names[0] : undefined;
  if (known === undefined) return nameFromFile(shown);
  const isTag = /^[\w.-]{1,128}$/.test(known);
  try {
    return normalName(isTag ? `${nameFromFile(shown)}:${known}` : known, registries);
  } catch {
    // What an archive calls its image need not be a name.
    return nameFromFile(shown);
  }
}
