// An OCI image layout (a directory, or a tar of one) as a source of manifests and blobs.
import * as v from "valibot";
import { BangerError } from "../../lib/errors.ts";
import { digestOf, isDigest, splitDigest } from "./digest.ts";
import { type FileTree, missing, readWhole } from "./file-tree.ts";
import {
  type IndexEntry,
  invalid,
  parseJsonObject,
  parseManifest,
  parseWith,
  pasteable,
  printable,
} from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import type { Descriptor, RawManifest } from "../../lib/oci-content.ts";
import { type FileSource, maxDocumentBytes } from "./source.ts";

/** Annotations that name an entry, the one that says most first: containerd's is a whole reference. */
const nameAnnotations = ["io.containerd.image.name", "org.opencontainers.image.ref.name"] as const;

export interface Layout extends FileSource {
  /** Names that the index gives to its images, in its order, without doubles. */
  names: readonly string[];
}

export async function isLayout(tree: FileTree): Promise<boolean> {
  return (await tree.has("oci-layout")) && (await tree.has("index.json"));
}

/**
 * `manifest` takes a digest, a name that the index has, or "" for the only image there is: the whole index when nothing in it
 * has a name. Throws `image.invalid` when this is no layout. The caller disposes the tree.
 */
export async function openLayout(tree: FileTree): Promise<Layout> {
  const marker = parseJsonObject(await readWhole(tree, "oci-layout", 4096), `"oci-layout" in "${tree.shown}"`);
  const { imageLayoutVersion } = parseWith(
    v.object({ imageLayoutVersion: v.string() }),
    marker,
    `"oci-layout" in "${tree.shown}"`,
  );
  if (!/^1\.\d+\.\d+$/.test(imageLayoutVersion)) {
    throw invalid(`"${tree.shown}" is an image layout of the unknown version "${printable(imageLayoutVersion)}"`);
  }
  const bytes = await readWhole(tree, "index.json", maxDocumentBytes);
  const index: RawManifest = { bytes, mediaType: mediaTypes.ociIndex, digest: digestOf(bytes) };
  const parsed = parseManifest(index, tree.shown);
  const entries = parsed.kind === "index" ? parsed.entries : [];
  const byDigest = async (digest: string, known: Descriptor | undefined): Promise<RawManifest> => {
    if (digest === index.digest) return index;
    const content = await readWhole(tree, blobName(digest), maxDocumentBytes);
    return { bytes: content, mediaType: known?.mediaType ?? typeOf(content), digest };
  };
  return {
    names: [...new Set(entries.flatMap(namesOf))],
    async manifest(reference, { signal }) {
      signal.throwIfAborted();
      if (isDigest(reference)) {
        return byDigest(
          reference,
          entries.find((entry) => entry.digest === reference),
        );
      }
      const found = reference === "" ? only(entries, tree) : entries.filter((entry) => isNamed(entry, reference));
      if (found === "whole") return index;
      const [first] = found;
      if (first === undefined) {
        const names = entries.flatMap(namesOf).slice(0, 20).map(printable);
        throw new BangerError(
          "image.not-found",
          `"${tree.shown}" has no image "${printable(reference)}": it has ${names.join(", ") || "none with a name"}`,
        );
      }
      return byDigest(first.digest, first);
    },
    section: (descriptor) => tree.section(blobName(descriptor.digest)),
    async open(descriptor, { offset, signal }) {
      signal.throwIfAborted();
      const name = blobName(descriptor.digest);
      if (!(await tree.has(name))) throw missing(tree, name);
      return tree.open(name, offset === undefined ? {} : { offset });
    },
  };
}

function only(entries: readonly IndexEntry[], tree: FileTree): readonly IndexEntry[] | "whole" {
  const digests = new Set(entries.map((entry) => entry.digest));
  if (digests.size === 0) throw new BangerError("image.not-found", `"${tree.shown}" has no image in it`);
  if (digests.size === 1) return entries;
  const names = [...new Set(entries.flatMap(namesOf))];
  // One image for several machines, listed at the top.
  if (names.length <= 1 && entries.every((entry) => entry.platform !== undefined)) return "whole";
  throw new BangerError(
    "image.ambiguous",
    `"${tree.shown}" has ${digests.size} images: ${names.slice(0, 20).map(printable).join(", ") || "none with a name"}`,
    { hint: `--reference ${pasteable(names) ?? "<digest>"}` },
  );
}

function namesOf({ annotations }: IndexEntry): string[] {
  const found = nameAnnotations.flatMap((key) => annotations[key] ?? []);
  return found.slice(0, 1);
}

function isNamed({ annotations }: IndexEntry, name: string): boolean {
  return nameAnnotations.some((key) => annotations[key] === name);
}

function blobName(digest: string): string {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
}

/** What a document says it is; older OCI documents do not say it. */
function typeOf(bytes: Buffer): string {
  const document = parseJsonObject(bytes, "a manifest");
  if (typeof document["mediaType"] === "string") return document["mediaType"];
  return document["manifests"] === undefined ? mediaTypes.ociManifest : mediaTypes.ociIndex;
}
