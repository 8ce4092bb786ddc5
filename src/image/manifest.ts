// What images/<id>/manifest.json says, and the record that is made of it. Files of earlier versions are read too.
import type { ImageRecord } from "../api/records.ts";
import type { ResolvedImage } from "./oci/resolve-image.ts";
import type { Rootfs } from "./rootfs.ts";

/** Fields that came later may be missing in what is stored. */
export interface ImageManifest {
  source: string;
  rootfsSha256: string;
  architecture: string;
  config: Pick<ImageRecord["config"], "environment" | "user" | "workdir" | "command" | "labels"> &
    Partial<ImageRecord["config"]>;
  sizeBytes: number;
  usedBytes: number;
  digests?: NonNullable<ImageRecord["digests"]>;
}

/** For what comes without a config. */
export const defaultConfig: ImageManifest["config"] = {
  environment: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
  user: "root",
  workdir: "/root",
  command: ["/bin/sh"],
  labels: {},
};

/** Names as images write them, for a file system that does not tell by its programs. */
export const hostArchitecture = process.arch === "arm64" ? "arm64" : "amd64";

/** The manifest of an image whose config is known. */
export function manifestOf(image: ResolvedImage, rootfs: Rootfs, source: string): ImageManifest {
  const { config } = image;
  return {
    source,
    rootfsSha256: rootfs.tarSha256,
    architecture: config.platform.architecture,
    config: {
      environment: [...config.environment],
      user: config.user === "" ? "root" : config.user,
      workdir: config.workdir === "" ? "/" : config.workdir,
      entrypoint: [...config.entrypoint],
      command: [...config.command],
      exposedPorts: [...config.exposedPorts],
      volumes: [...config.volumes],
      stopSignal: config.stopSignal,
      labels: { ...config.labels },
    },
    sizeBytes: rootfs.sizeBytes,
    usedBytes: rootfs.usedBytes,
    digests: digestsOf(image),
  };
}

/** What stands for the documents and layers of an image. */
export function digestsOf({ digest, manifest, raw }: ResolvedImage): NonNullable<ImageManifest["digests"]> {
  return {
    reference: digest,
    manifest: raw.digest,
    config: manifest.config.digest,
    layers: manifest.layers.map((layer) => layer.digest),
  };
}

export function toRecord(
  row: { id: string; name: string; manifest: string; createdAt: number },
  rootfsPath: string,
  tags: string[],
): ImageRecord {
  const manifest = JSON.parse(row.manifest) as ImageManifest;
  return {
    id: row.id,
    name: row.name,
    tags,
    source: manifest.source,
    rootfsPath,
    rootfsSha256: manifest.rootfsSha256,
    sizeBytes: manifest.sizeBytes,
    usedBytes: manifest.usedBytes,
    architecture: manifest.architecture,
    digests: manifest.digests ?? null,
    config: { entrypoint: [], exposedPorts: [], volumes: [], stopSignal: "", ...manifest.config },
    createdAt: row.createdAt,
  };
}
