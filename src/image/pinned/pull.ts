// Pulls an image of the catalog by the digest that it is pinned to, under the catalog's name.
import type { ArtifactRow } from "../../lib/artifact-store.ts";
import { BangerError, toBangerError } from "../../lib/errors.ts";
import { hostArchitecture, type ImageManifest } from "../manifest.ts";
import { addName, holderOf } from "../names.ts";
import { formatPlatform, hostPlatform } from "../oci/platform.ts";
import type { Registries } from "../oci/source.ts";
import type { StoreParts } from "../publish.ts";
import type { PinnedImage } from "./schema.ts";

interface PinnedPullRequest {
  platform?: string | undefined;
  /** Take the name from an image that is something else. */
  force?: boolean | undefined;
}

/**
 * What is there with this digest only gets the name, and no registry is asked. An earlier image of the same entry loses the
 * name to the new one; one that has nothing to do with it keeps it (`image.exists`) unless forced. `pull` gets what a reference names;
 * `pulled` is what it said, undefined when it was not needed.
 */
export async function pullPinned<Pulled extends ArtifactRow>(
  parts: StoreParts & { registries: Registries },
  entry: PinnedImage,
  request: PinnedPullRequest,
  pull: (reference: string) => Promise<Pulled>,
): Promise<{ row: ArtifactRow; pulled: Pulled | undefined }> {
  const { artifacts, registries, tags } = parts;
  const tagged = registries.normalize(entry.reference);
  const pinned = `${tagged}@${entry.digest}`;
  const holder = artifacts.list().find((row) => row.id === holderOf(entry.name, artifacts, tags));
  if (holder !== undefined && request.force !== true && !isOf(holder, tagged)) {
    throw new BangerError(
      "image.exists",
      `there is already an image "${entry.name}", and it is not ${tagged} of the catalog`,
      { hint: `banger image pull ${tagged}  # or with --force, which gives the name to the catalog's` },
    );
  }
  const asIs = request.platform === undefined && request.force !== true;
  const present = asIs ? findPinned(artifacts.list(), entry.digest) : undefined;
  if (present !== undefined) return { row: await addName(present, entry.name, parts), pulled: undefined };
  if (request.platform === undefined) checkPlatform(entry);
  const before = holderOf(pinned, artifacts, tags);
  const pulled = await pull(pinned).catch((error: unknown) => {
    throw explain(error, entry, tagged);
  });
  const row = await addName(pulled, entry.name, parts);
  // One name is enough: else every digest that an entry ever had would keep its image.
  if (before === undefined && row.name !== pinned) await tags.remove(pinned);
  return { row, pulled };
}

/** The image of this host's kind with a digest, if it is there. */
export function findPinned(rows: readonly ArtifactRow[], digest: string): ArtifactRow | undefined {
  return rows.find((row) => {
    const { digests, architecture } = JSON.parse(row.manifest) as ImageManifest;
    return digests?.reference === digest && architecture === hostArchitecture;
  });
}

/** True for what was pulled from the same tag, pinned or not. */
function isOf(row: ArtifactRow, tagged: string): boolean {
  const { source } = JSON.parse(row.manifest) as ImageManifest;
  return source.split("@")[0] === `registry:${tagged}`;
}

function checkPlatform({ name, platforms }: PinnedImage): void {
  const wanted = formatPlatform(hostPlatform());
  if (platforms === undefined || platforms.includes(wanted)) return;
  throw new BangerError(
    "image.not-found",
    `image "${name}" of the catalog is not for ${wanted}: it is for ${platforms.join(", ")}`,
    { hint: "banger image catalog" },
  );
}

function explain(thrown: unknown, { name, digest }: PinnedImage, tagged: string): unknown {
  if (toBangerError(thrown).code !== "image.not-found") return thrown;
  return new BangerError(
    "image.not-found",
    `image "${name}" is pinned to ${tagged}@${digest}, which the registry does not have (any more)`,
    { cause: thrown, hint: `banger image pull ${tagged}  # what the tag is today; a newer banger has newer digests` },
  );
}
