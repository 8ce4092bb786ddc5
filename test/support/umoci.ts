// What umoci, as root, makes of layers: the reference for how layers are applied.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

export interface Unpacked {
  /** Directory of the root file system; undefined when umoci refused the image. */
  root: string | undefined;
  /** What it said. */
  said: string;
}

/** Makes an image layout of plain tar layers in `directory` and has umoci unpack it there. */
export function unpackWithUmoci(directory: string, layers: readonly Buffer[]): Unpacked {
  const layout = join(directory, "layout");
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true });
  const blob = (bytes: Buffer) => {
    const digest = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(layout, "blobs/sha256", digest), bytes);
    return { digest: `sha256:${digest}`, size: bytes.length };
  };
  const json = (value: unknown) => blob(Buffer.from(JSON.stringify(value)));
  const diffIds = layers.map((bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`);
  const type = (kind: string) => `application/vnd.oci.image.${kind}`;
  const created = "2026-01-01T00:00:00Z";
  const config = json({
    created,
    architecture: "amd64",
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds },
    history: diffIds.map(() => ({ created })),
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: type("manifest.v1+json"),
    config: { mediaType: type("config.v1+json"), ...config },
    layers: layers.map((bytes) => ({ mediaType: type("layer.v1.tar+gzip"), ...blob(gzipSync(bytes, { level: 1 })) })),
  });
  const annotations = { "org.opencontainers.image.ref.name": "x" };
  const index = { schemaVersion: 2, manifests: [{ mediaType: type("manifest.v1+json"), ...manifest, annotations }] };
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
  writeFileSync(join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const bundle = join(directory, "bundle");
  const env = { PATH: process.env["PATH"], LC_ALL: "C" };
  const ran = spawnSync("umoci", ["unpack", "--image", `${layout}:x`, bundle], { env, maxBuffer: 1024 ** 2 });
  if (ran.error !== undefined) throw ran.error;
  const said = `${ran.stdout.toString()}${ran.stderr.toString()}`.trim();
  return { root: ran.status === 0 ? join(bundle, "rootfs") : undefined, said };
}
