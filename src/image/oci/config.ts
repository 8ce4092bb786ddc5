// Reads the config of an image: for which machine it is, what it runs and how, and the digests of its layers' content.
import * as v from "valibot";
import { digestOf, isDigest } from "./digest.ts";
import { type ImageManifest, invalid, parseJsonObject, parseWith, type Platform, printable } from "./manifest.ts";

export interface ImageConfig {
  platform: Platform;
  /** NAME=value. */
  environment: readonly string[];
  /** Empty: root. */
  user: string;
  /** Empty: the root directory. */
  workdir: string;
  entrypoint: readonly string[];
  command: readonly string[];
  /** "80/tcp". */
  exposedPorts: readonly string[];
  volumes: readonly string[];
  stopSignal: string;
  labels: Readonly<Record<string, string>>;
  /** Digests of the unpacked layers, the lowest first. */
  diffIds: readonly string[];
  history: readonly HistoryEntry[];
  /** When it was made, as the config has it; empty when it does not say. */
  created: string;
}

export interface HistoryEntry {
  created: string;
  createdBy: string;
  comment: string;
  emptyLayer: boolean;
}

// Go programs write null for what is empty.
const text = v.nullish(
  v.pipe(
    v.string(),
    v.maxLength(65_536),
    v.check((value) => !value.includes("\0")),
  ),
  "",
);
const texts = v.nullish(
  v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.check((value) => !value.includes("\0")),
      ),
    ),
    v.maxLength(10_000),
  ),
  [],
);
const command = v.nullish(
  v.union([
    texts,
    v.pipe(
      v.string(),
      v.transform((word) => [word]),
    ),
  ]),
  [],
);
const keys = v.pipe(v.nullish(v.record(v.string(), v.unknown()), {}), v.transform(Object.keys));

const schema = v.object({
  os: v.string(),
  architecture: v.string(),
  variant: v.nullish(v.string()),
  created: v.nullish(v.string(), ""),
  config: v.nullish(
    v.object({
      User: text,
      Env: texts,
      Entrypoint: command,
      Cmd: command,
      WorkingDir: text,
      ExposedPorts: keys,
      Volumes: keys,
      StopSignal: text,
      Labels: v.nullish(v.record(v.string(), v.string()), {}),
    }),
  ),
  rootfs: v.object({ type: v.literal("layers"), diff_ids: v.nullish(v.array(v.string()), []) }),
  history: v.nullish(
    v.pipe(
      v.array(v.object({ created: text, created_by: text, comment: text, empty_layer: v.nullish(v.boolean(), false) })),
      v.maxLength(10_000),
    ),
    [],
  ),
});

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * Parses the config that a manifest names and checks that both speak of the same layers. `shown` names the image in errors.
 * Throws `image.invalid`.
 */
export function parseConfig(bytes: Buffer, manifest: ImageManifest, shown: string): ImageConfig {
  const what = `the config of "${shown}"`;
  const { digest, sizeBytes } = manifest.config;
  if (bytes.length !== sizeBytes || digestOf(bytes, digest) !== digest) {
    throw invalid(`${what} is damaged: it has not the digest ${digest}`);
  }
  const document = parseWith(schema, parseJsonObject(bytes, what), what);
  const diffIds = document.rootfs.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length) {
    throw invalid(`${what} speaks of ${diffIds.length} layers, the manifest of ${manifest.layers.length}`);
  }
  for (const diffId of diffIds) {
    if (!isDigest(diffId)) throw invalid(`${what} has a layer digest that is not known: "${printable(diffId)}"`);
  }
  if (document.os !== "linux") throw invalid(`"${shown}" is an image for ${printable(document.os)}, not for linux`);
  const config = document.config ?? undefined;
  const environment = (config?.Env ?? []).filter((entry) => entry.indexOf("=") > 0);
  return {
    platform: { os: document.os, architecture: document.architecture, variant: document.variant ?? undefined },
    environment: environment.some((entry) => entry.startsWith("PATH=")) ? environment : [defaultPath, ...environment],
    user: config?.User ?? "",
    workdir: config?.WorkingDir ?? "",
    entrypoint: config?.Entrypoint ?? [],
    command: config?.Cmd ?? [],
    exposedPorts: config?.ExposedPorts ?? [],
    volumes: config?.Volumes ?? [],
    stopSignal: config?.StopSignal ?? "",
    labels: config?.Labels ?? {},
    diffIds,
    history: document.history.map((entry) => ({
      created: entry.created,
      createdBy: entry.created_by,
      comment: entry.comment,
      emptyLayer: entry.empty_layer,
    })),
    created: document.created,
  };
}
