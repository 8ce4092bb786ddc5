// Names of images: short ones of this machine, and references to registries in their usual form. Who has which, and how one moves.
import { BangerError } from "../lib/errors.ts";
import { type ArtifactRow, type ArtifactStore, type ArtifactTable, namePattern } from "../lib/artifact-store.ts";
import { isDigest } from "./oci/digest.ts";
import type { Registries } from "./oci/source.ts";
import type { ImageManifest } from "./manifest.ts";
import type { ImageTags } from "./tags.ts";

/** A name as it is stored: a short one as it is, a reference in its usual form. Throws `image.reference-invalid`. */
export function normalName(name: string, registries: Pick<Registries, "normalize"> | undefined): string {
  if (namePattern.test(name)) return name;
  if (registries === undefined || !/[:/@._]/.test(name)) {
    throw new BangerError(
      "request.invalid",
      `image name "${name}" is not valid: use a-z, 0-9 and "-" (1 to 63), or a reference like alpine:3.20`,
    );
  }
  return registries.normalize(name);
}

/** The image that a reference of a user means; throws `image.not-found` or `image.ambiguous`. */
export function resolveImageName(
  reference: string,
  { artifacts, tags, registries }: { artifacts: ArtifactStore; tags: ImageTags; registries: Registries | undefined },
): ArtifactRow {
  const rows = artifacts.list();
  const named = (name: string) => rows.find((row) => row.name === name || row.id === (tags.idOf(name) ?? name));
  const exact = named(reference);
  if (exact !== undefined) return exact;
  const digest = reference.slice(reference.lastIndexOf("@") + 1);
  if (isDigest(digest)) {
    const found = rows.find((row) => {
      const { digests } = JSON.parse(row.manifest) as ImageManifest;
      return digests !== undefined && [digests.reference, digests.manifest, digests.config].includes(digest);
    });
    if (found !== undefined) return found;
  }
  const normal = usual(reference, registries);
  return (normal === undefined ? undefined : named(normal)) ?? artifacts.resolve(reference);
}

/** The name that a reference of a user is; all names of the image when it was meant by its id or a digest. */
export function namesMeant(
  reference: string,
  row: ArtifactRow,
  { tags }: { tags: ImageTags },
  registries: Registries | undefined,
): string[] {
  const all = [row.name, ...tags.of(row.id)];
  const meant = [reference, usual(reference, registries)].find((name) => name !== undefined && all.includes(name));
  return meant === undefined ? all : [meant];
}

/** Also for short names: "alpine" is "alpine:latest" too. Undefined for what is no reference. */
function usual(reference: string, registries: Registries | undefined): string | undefined {
  try {
    return registries?.normalize(reference);
  } catch {
    return undefined;
  }
}

/** Whether somebody has the name; returns whose it is. */
export function holderOf(name: string, artifacts: ArtifactStore, tags: ImageTags): string | undefined {
  return artifacts.list().find((row) => row.name === name)?.id ?? tags.idOf(name);
}

/**
 * Makes a name free for an image that is about to get it: an image that has other names loses this one. One that has no other
 * is left to the artifact store, which removes it or lets it go on under its id.
 */
export async function freeName(
  name: string,
  forId: string,
  { artifacts, tags, table }: { artifacts: ArtifactStore; tags: ImageTags; table: ArtifactTable },
): Promise<void> {
  const tagged = tags.idOf(name);
  if (tagged !== undefined && tagged !== forId) await tags.remove(name);
  const holder = artifacts.list().find((row) => row.name === name && row.id !== forId);
  const [other] = holder === undefined ? [] : tags.of(holder.id);
  if (holder === undefined || other === undefined) return;
  table.rename(holder.id, other);
  await table.settled();
  await tags.remove(other);
}

/** Gives a stored image a name, which becomes the one that is shown first; the others stay. */
export async function addName(
  row: ArtifactRow,
  name: string,
  parts: { artifacts: ArtifactStore; tags: ImageTags; table: ArtifactTable },
): Promise<ArtifactRow> {
  if (row.name === name) return row;
  if (parts.tags.idOf(name) === row.id) {
    await parts.tags.set(row.name, row.id);
    parts.table.rename(row.id, name);
    await parts.tags.remove(name);
    return { ...row, name };
  }
  await freeName(name, row.id, parts);
  const named = await parts.artifacts.add("", { ...row, name }, true);
  // A name that is the beginning of its id was only a way to keep an image that had lost its own.
  if (!row.id.startsWith(row.name)) await parts.tags.set(row.name, row.id);
  return named;
}
