// Where the documents and blobs of an OCI image come from: a registry, a layout directory, an archive, the cache.
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

/** Largest manifest, index or config that is read. */
export const maxDocumentBytes = 4 * 1024 * 1024;

/** What the image store needs of a client of registries. */
export interface Registries {
  /** The usual form of a reference: "docker.io/library/alpine" is "alpine:latest". Throws `image.reference-invalid`. */
  normalize(reference: string): string;
  /** The repository of a reference, and its tag or digest. Dispose when nothing is read from it any more. */
  open(
    reference: string,
    options: { insecure: boolean; signal: AbortSignal },
  ): { source: ManifestSource; reference: string } & AsyncDisposable;
}
