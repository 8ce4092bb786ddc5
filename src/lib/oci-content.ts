// Shapes of where the documents and blobs of an OCI image come from: a registry, a layout directory, an archive, the cache. src/image
// reads them, src/registry is one of them, and neither knows the other.
import type { Readable } from "node:stream";

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
