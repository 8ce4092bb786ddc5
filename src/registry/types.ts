// What a repository of a registry gives: manifests and blobs. src/image has the same shapes; neither folder knows the other.
import type { Readable } from "node:stream";

/** Names one blob of an image. */
export interface Descriptor {
  mediaType: string;
  /** `sha256:` and 64 hex digits, or `sha512:` and 128. */
  digest: string;
  sizeBytes: number;
}

/** Gives blobs by digest. */
export interface BlobSource {
  /** Content of a blob from `offset`, resumed when the connection is cut. The reader checks digest and size. */
  open(descriptor: Descriptor, options: { offset?: number; signal: AbortSignal }): Promise<Readable>;
}

/** Bytes of a manifest or an index, with what is known of them for certain. */
export interface RawManifest {
  bytes: Buffer;
  mediaType: string;
  digest: string;
}

/** Gives manifests and blobs of one repository. */
export interface ManifestSource extends BlobSource {
  /** Raw bytes of the manifest that the tag or digest names, with its media type and verified digest; at most 4 MiB. */
  manifest(reference: string, options: { signal: AbortSignal }): Promise<RawManifest>;
}
