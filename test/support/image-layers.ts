// Fewer layers of an image: those of the large one that a test needs, as an image of its own.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { json } from "../../src/image/oci/testdata/layout.ts";

interface Descriptor {
  digest: string;
  size: number;
}

interface Manifest {
  config: Descriptor;
  layers: Descriptor[];
}

interface Config {
  rootfs: { diff_ids: string[] };
  history: object[];
}

/** Changes an OCI layout with one image, so that it has these layers only, which count from 0. Blobs that are not used any more stay. */
export function keepLayers(layout: string, kept: readonly number[]): void {
  const read = (digest: string): unknown => JSON.parse(readFileSync(blob(digest), "utf8"));
  const blob = (digest: string) => join(layout, "blobs", ...digest.split(":"));
  const write = (content: object): Descriptor => {
    const bytes = json(content);
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(blob(digest), bytes);
    return { digest, size: bytes.length };
  };
  const pick = <T>(list: readonly T[]) => list.filter((_, at) => kept.includes(at));

  const indexFile = join(layout, "index.json");
  const index = JSON.parse(readFileSync(indexFile, "utf8")) as { manifests: Descriptor[] };
  const manifests = index.manifests.map((described) => {
    const manifest = read(described.digest) as Manifest;
    const config = read(manifest.config.digest) as Config;
    const rootfs = { ...config.rootfs, diff_ids: pick(config.rootfs.diff_ids) };
    const changed = write({ ...config, rootfs, history: pick(config.history) });
    const layers = pick(manifest.layers);
    return { ...described, ...write({ ...manifest, config: { ...manifest.config, ...changed }, layers }) };
  });
  writeFileSync(indexFile, json({ ...index, manifests }));
}
