// Shapes of where the documents and blobs of an OCI image come from: a registry, a layout directory, an archive, the cache. src/image
// reads them, src/registry is one of them, and neither knows the other.
import type { Readable } from "node:stream";
import type { SharedCount } from "./shared-count.ts";

/** What a manifest says of one blob. The digest is `sha256:<64 hex>` or `sha512:<128 hex>`. */
export interface Descriptor {
  mediaType: string;
  digest: string;
  sizeBytes: number;
}

export interface BlobSource {
  /**
   * Content of a blob from `offset` (default 0) to its end. Nothing is checked here: the reader checks digest and size.
   * Rejects with `image.not-found` when the source has no such blob.
   */
  open(descriptor: Descriptor, options: { offset?: number; signal: AbortSignal }): Promise<Readable>;
}

export interface SaveRequest {
  /** A file that is open for reading and writing, and stays open until the save has settled. */
  fd: number;
  /** Bytes at its start that are there already. */
  haveBytes: number;
  /** Names the blob in errors. */
  label: string;
  /** How many bytes the file has: set as it grows. */
  count: SharedCount;
  /** Called after the count has grown, now and then. */
  onGrowth(): void;
  signal: AbortSignal;
}

/** Where blobs come from whose bytes shall not pass the thread that wants them. */
export interface BlobSaver {
  /**
   * Completes a file with what it does not have of a blob, and returns the digest (hex) of the whole file. Rejects with
   * `image.invalid` when the blob is longer or shorter than it should be. Nothing is written any more once this has settled.
   */
  save(descriptor: Descriptor, request: SaveRequest): Promise<string>;
}

/** A manifest or index as it was found: its raw bytes (at most 4 MiB), and the digest that they were checked against. */
export interface RawManifest {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

/** One repository: blobs, and the manifests that tags and digests name. */
export interface ManifestSource extends BlobSource {
  /** What a tag or digest names. Rejects with `image.not-found` when there is none. */
  manifest(reference: string, options: { signal: AbortSignal }): Promise<RawManifest>;
}

/** A repository elsewhere. */
export type RemoteSource = ManifestSource & BlobSaver;
