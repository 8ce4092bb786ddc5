// What `docker save` wrote before it wrote OCI layouts, and `podman save` still writes: as a source with a manifest of our making.
import * as v from "valibot";
import { BangerError } from "../../lib/errors.ts";
import { digestOf, hashFor, isDigest } from "./digest.ts";
import { type FileTree, missing, readWhole } from "./file-tree.ts";
import { invalid, maxLayers, parseWith, pasteable, printable } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import type { Descriptor, RawManifest } from "../../lib/oci-content.ts";
import { type FileSource, maxDocumentBytes } from "./source.ts";

const listSchema = v.pipe(
  v.array(
    v.object({
      Config: v.string(),
      RepoTags: v.nullish(v.array(v.string()), []),
      Layers: v.pipe(v.nullish(v.array(v.string()), []), v.maxLength(maxLayers)),
    }),
  ),
  v.maxLength(1000),
);
type Entry = v.InferOutput<typeof listSchema>[number];

export interface DockerArchive extends FileSource {
  /** Tags of all images in it, in order. */
  names: readonly string[];
}

export async function isDockerArchive(tree: FileTree): Promise<boolean> {
  return tree.has("manifest.json");
}

/**
 * `manifest` takes one of the archive's tags, a digest that it gave before, or "" for the only image. Throws `image.invalid`
 * when the archive contradicts itself. The caller disposes the tree.
 */
export async function openDockerArchive(tree: FileTree, signal: AbortSignal): Promise<DockerArchive> {
  const what = `"manifest.json" in "${tree.shown}"`;
  const entries = parseWith(
    listSchema,
    parseJson(await readWhole(tree, "manifest.json", maxDocumentBytes), what),
    what,
  );
  const names = [...new Set(entries.flatMap((entry) => entry.RepoTags ?? []))];
  const files = new Map<string, string>();
  const made = new Map<string, RawManifest>();
  const fileOf = (digest: string): string => {
    const name = files.get(digest);
    if (name === undefined) throw missing(tree, digest);
    return name;
  };
  return {
    names,
    async manifest(reference) {
      const known = made.get(reference);
      if (known !== undefined) return known;
      const entry = find(entries, reference, tree);
      const raw = await makeManifest(tree, entry, files, signal);
      made.set(raw.digest, raw);
      return raw;
    },
    section: async ({ digest }) => tree.section(fileOf(digest)),
    open: async ({ digest }, { offset }) => tree.open(fileOf(digest), offset === undefined ? {} : { offset }),
  };
}

function find(entries: readonly Entry[], reference: string, tree: FileTree): Entry {
  const found = reference === "" ? entries : entries.filter((entry) => entry.RepoTags?.includes(reference));
  const [first] = found;
  const names = entries.flatMap((entry) => entry.RepoTags ?? []);
  const have = names.slice(0, 20).map(printable).join(", ") || "none with a name";
  if (first === undefined) {
    throw new BangerError("image.not-found", `"${tree.shown}" has no image "${printable(reference)}": it has ${have}`);
  }
  if (found.length > 1) {
    throw new BangerError("image.ambiguous", `"${tree.shown}" has ${found.length} images: ${have}`, {
      hint: `--reference ${pasteable(names) ?? "<name>"}`,
    });
  }
  return first;
}

/** `files` learns which file holds which blob. */
async function makeManifest(
  tree: FileTree,
  entry: Entry,
  files: Map<string, string>,
  signal: AbortSignal,
): Promise<RawManifest> {
  const configBytes = await readWhole(tree, entry.Config, maxDocumentBytes);
  const config: Descriptor = {
    mediaType: mediaTypes.ociConfig,
    digest: digestOf(configBytes),
    sizeBytes: configBytes.length,
  };
  files.set(config.digest, entry.Config);
  const what = `the config of "${tree.shown}"`;
  const schema = v.object({ rootfs: v.object({ diff_ids: v.nullish(v.array(v.string()), []) }) });
  const diffIds = parseWith(schema, parseJson(configBytes, what), what).rootfs.diff_ids ?? [];
  const layerFiles = entry.Layers ?? [];
  if (diffIds.length !== layerFiles.length) {
    throw invalid(`${what} speaks of ${diffIds.length} layers, "manifest.json" of ${layerFiles.length}`);
  }
  const layers: Descriptor[] = [];
  for (const [index, name] of layerFiles.entries()) {
    const layer = await describeLayer(tree, name, diffIds[index] ?? "", signal);
    files.set(layer.digest, name);
    layers.push(layer);
  }
  const toJson = ({ mediaType, digest, sizeBytes }: Descriptor) => ({ mediaType, digest, size: sizeBytes });
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: toJson(config),
      layers: layers.map(toJson),
    }),
  );
  return { bytes, mediaType: mediaTypes.ociManifest, digest: digestOf(bytes) };
}

/** A plain layer's digest is the one that the config states; a compressed one has to be read for its own. */
async function describeLayer(tree: FileTree, name: string, diffId: string, signal: AbortSignal): Promise<Descriptor> {
  if (!isDigest(diffId))
    throw invalid(`the config of "${tree.shown}" has a layer digest that is not known: "${printable(diffId)}"`);
  const sizeBytes = await tree.size(name);
  const head: Buffer[] = [];
  for await (const piece of (await tree.open(name, { length: 4 })) as AsyncIterable<Buffer>) head.push(piece);
  const magic = Buffer.concat(head).toString("hex");
  if (!magic.startsWith("1f8b") && magic !== "28b52ffd") {
    return { mediaType: mediaTypes.ociLayer, digest: diffId, sizeBytes };
  }
  const hash = hashFor(diffId);
  for await (const piece of (await tree.open(name)) as AsyncIterable<Buffer>) {
    signal.throwIfAborted();
    hash.update(piece);
  }
  const algorithm = diffId.slice(0, diffId.indexOf(":"));
  return { mediaType: mediaTypes.ociLayerGzip, digest: `${algorithm}:${hash.digest("hex")}`, sizeBytes };
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (error) {
    throw invalid(`${what} is not JSON`, error);
  }
}
