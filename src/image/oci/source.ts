// What the image store needs of a client of registries, and how much of a document is read.
import type { FileSection } from "../layer/blob-file.ts";
import type { Descriptor, ManifestSource, RemoteSource } from "../../lib/oci-content.ts";

/** Largest manifest, index or config that is read. */
export const maxDocumentBytes = 4 * 1024 * 1024;

/** Images in files of this host. */
export interface FileSource extends ManifestSource {
  /** Where a blob lies: it has not been checked, and its size need not be the descriptor's. */
  section(descriptor: Descriptor): Promise<FileSection>;
}

/** What the image store needs of a client of registries. */
export interface Registries {
  /** The usual form of a reference: "docker.io/library/alpine" is "alpine:latest". Throws `image.reference-invalid`. */
  normalize(reference: string): string;
  /** The repository of a reference, and its tag or digest. Dispose when nothing is read from it any more. */
  open(
    reference: string,
    options: { insecure: boolean; signal: AbortSignal },
  ): { source: RemoteSource; reference: string } & AsyncDisposable;
}
