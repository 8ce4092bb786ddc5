// Reads manifests and indexes of images: OCI and Docker schema 2. Everything in them is hostile until it was checked here.
import * as v from "valibot";
import { BangerError } from "../../lib/errors.ts";
import { defaultLimits } from "../layer/limits.ts";
import { digestOf, isDigest } from "./digest.ts";
import { isConfigType, isForeignLayerType, isIndexType, isLayerType, isManifestType } from "./media-types.ts";
import type { Descriptor, RawManifest } from "../../lib/oci-content.ts";
import { maxDocumentBytes } from "./source.ts";

/** What an index says of the machine that a manifest is for. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string | undefined;
}

export interface IndexEntry extends Descriptor {
  platform: Platform | undefined;
  annotations: Readonly<Record<string, string>>;
}

export interface ImageManifest {
  config: Descriptor;
  layers: readonly Descriptor[];
}

export type ManifestDocument =
  | { kind: "index"; entries: readonly IndexEntry[] }
  | ({ kind: "manifest" } & ImageManifest);

export const { maxLayers } = defaultLimits;
const maxEntries = 1000;

const descriptorSchema = v.object({
  mediaType: v.pipe(v.string(), v.maxLength(255)),
  digest: v.pipe(v.string(), v.maxLength(255)),
  size: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
const annotationsSchema = v.nullish(v.record(v.string(), v.string()));
const entrySchema = v.object({
  ...descriptorSchema.entries,
  platform: v.nullish(v.object({ os: v.string(), architecture: v.string(), variant: v.nullish(v.string()) })),
  annotations: annotationsSchema,
});
const indexSchema = v.object({ manifests: v.pipe(v.array(entrySchema), v.maxLength(maxEntries)) });
const manifestSchema = v.object({ config: descriptorSchema, layers: v.array(descriptorSchema) });

/**
 * Parses a manifest or index and checks it against its digest and media type. `shown` names it in errors. Throws
 * `image.invalid` for a document that contradicts itself, that is none of the known kinds, or whose layers cannot be used.
 */
export function parseManifest({ bytes, mediaType, digest }: RawManifest, shown: string): ManifestDocument {
  const what = `the manifest of "${shown}"`;
  if (!isDigest(digest)) throw unknownDigest(what, digest);
  if (bytes.length > maxDocumentBytes) throw invalid(`${what} is larger than ${maxDocumentBytes} bytes`);
  if (digestOf(bytes, digest) !== digest) throw invalid(`${what} is damaged: it has not the digest ${digest}`);
  const document = parseJsonObject(bytes, what);
  if (document["schemaVersion"] === 1) {
    throw invalid(`${what} is in Docker's old format (schema 1), which is not supported: push the image anew`);
  }
  if (document["schemaVersion"] !== 2) throw invalid(`${what} has no schemaVersion 2`);
  const stated = document["mediaType"];
  if (stated !== undefined && stated !== mediaType) {
    throw invalid(
      `${what} contradicts itself: it came as "${printable(mediaType)}" and says that it is "${printable(stated)}"`,
    );
  }
  const hasManifests = document["manifests"] !== undefined;
  const hasLayers = document["layers"] !== undefined || document["config"] !== undefined;
  if (hasManifests && hasLayers) throw invalid(`${what} contradicts itself: it lists both manifests and layers`);
  if (isIndexType(mediaType)) return { kind: "index", entries: parseIndex(document, what) };
  if (isManifestType(mediaType)) return { kind: "manifest", ...parseImage(document, what) };
  throw invalid(`${what} has the media type "${printable(mediaType)}", which is no image`);
}

function parseIndex(document: Record<string, unknown>, what: string): IndexEntry[] {
  return parseWith(indexSchema, document, what).manifests.map(({ platform, annotations, ...entry }) => ({
    ...toDescriptor(entry, what),
    platform:
      platform === null || platform === undefined
        ? undefined
        : { os: platform.os, architecture: platform.architecture, variant: platform.variant ?? undefined },
    annotations: annotations ?? {},
  }));
}

function parseImage(document: Record<string, unknown>, what: string): ImageManifest {
  const parsed = parseWith(manifestSchema, document, what);
  if (!isConfigType(parsed.config.mediaType)) {
    throw invalid(`${what} is no image but something else ("${printable(parsed.config.mediaType)}")`);
  }
  if (parsed.layers.length > maxLayers) throw invalid(`${what} has more than ${maxLayers} layers`);
  const config = toDescriptor(parsed.config, what);
  if (config.sizeBytes > maxDocumentBytes)
    throw invalid(`the config of ${what} is larger than ${maxDocumentBytes} bytes`);
  const layers = parsed.layers.map((layer, index) => {
    const name = `layer ${index + 1} of ${parsed.layers.length}`;
    if (isForeignLayerType(layer.mediaType)) {
      throw invalid(
        `${what} has a foreign layer (${name}): its content is not in the registry but at another address, and such addresses are never followed`,
      );
    }
    if (!isLayerType(layer.mediaType)) {
      throw invalid(`${what} has a layer (${name}) of the unknown kind "${printable(layer.mediaType)}"`);
    }
    return toDescriptor(layer, what);
  });
  return { config, layers };
}

function toDescriptor(parsed: v.InferOutput<typeof descriptorSchema>, what: string): Descriptor {
  if (!isDigest(parsed.digest)) throw unknownDigest(what, parsed.digest);
  return { mediaType: parsed.mediaType, digest: parsed.digest, sizeBytes: parsed.size };
}

/** Parses JSON text that must be an object. `what` names it in the error, `image.invalid`. */
export function parseJsonObject(bytes: Buffer, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw invalid(`${what} is not JSON`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(`${what} is no JSON object`);
  return value as Record<string, unknown>;
}

/** Parses with a schema; the error, `image.invalid`, says where the document is wrong. */
export function parseWith<S extends v.GenericSchema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const parsed = v.safeParse(schema, value, { abortEarly: true });
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const path = printable(v.getDotPath(issue) ?? "");
  throw invalid(`${what} is wrong at "${path}": expected ${issue.expected ?? "something else"}`);
}

function unknownDigest(what: string, digest: string): BangerError {
  return invalid(`${what} has a digest that is not known: "${printable(digest)}"`);
}

/** Text of a document as it can stand in a message. What is no text may be of any size and depth: only its kind is told. */
export function printable(value: unknown): string {
  const isShort = value === null || ["number", "boolean", "undefined"].includes(typeof value);
  const text = typeof value === "string" ? value : isShort ? String(value) : `some ${typeof value}`;
  const clean = text.replaceAll(/[^\x20-\x7e]/gu, "?");
  return clean.length > 100 ? `${clean.slice(0, 100)}…` : clean;
}

/** The first of some words of a stranger that can stand in a command which people paste. */
export function pasteable(words: readonly string[]): string | undefined {
  return words.find((word) => /^\w[\w.:/@+-]{0,254}$/.test(word));
}

export function invalid(message: string, cause?: unknown): BangerError {
  return new BangerError("image.invalid", message, { cause });
}

/** What a layer is called in errors. */
export function layerLabel(layers: readonly Descriptor[], index: number): string {
  return `layer ${index + 1} of ${layers.length} (${layers[index]?.digest.slice(0, 19)})`;
}
