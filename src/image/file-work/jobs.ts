// Work on whole files of images, and what the daemon and the thread that does it say to each other.
import type { ImageRecord } from "../../api/records.ts";
import type { ErrorBody } from "../../lib/errors.ts";
import type { Descriptor } from "../../lib/oci-content.ts";
import type { ProgressMemory } from "../../lib/shared-progress.ts";
import type { BlobFile } from "../layer/blob-file.ts";

/** Makes a plain file, which must not exist, of a compressed one. */
export interface DecompressJob {
  do: "decompress";
  path: string;
  target: string;
  /** Largest result. */
  maxBytes: number;
}

/** sha256 of a file, in hex. */
export interface DigestJob {
  do: "digest";
  path: string;
}

/** A layer in a file that the daemon has open, all of it there. */
export interface LayerFile extends Pick<BlobFile, "fd" | "offset" | "check"> {
  layer: Descriptor;
  /** Stands in errors. */
  label: string;
}

/** The documents and layers that an image was made of. */
export interface OriginalImage {
  manifest: { bytes: Uint8Array; digest: string; mediaType: string };
  config: { bytes: Uint8Array; digest: string };
  layers: readonly LayerFile[];
}

/** Writes an image layout. */
export interface ExportJob {
  do: "export";
  path: string;
  /** What it is called beside its place until it is whole. */
  staging: string;
  format: "directory" | "tar";
  record: ImageRecord;
  /** What the image is called in the layout. */
  names: readonly string[];
  /** Undefined: one layer is made of the image's file. */
  original: OriginalImage | undefined;
}

export interface ExportResult {
  path: string;
  /** Digest of the manifest. */
  manifest: string;
  /** Of the layers. */
  bytes: number;
  /** False: the layers are not those that the image was made of. */
  original: boolean;
}

export type FileJob = DecompressJob | DigestJob | ExportJob;
export type ResultOf<Job extends FileJob> = { decompress: undefined; digest: string; export: ExportResult }[Job["do"]];

/** What the thread is started with. */
export type ThreadJob = FileJob & { bytes: ProgressMemory };

export type ToFileWorker = { say: "abort"; error: ErrorBody };

export type FromFileWorker =
  | { say: "stage"; name: string; detail: string | undefined }
  /** A layer is not what it should be. */
  | { say: "damaged"; digest: string }
  | { say: "done"; result: ResultOf<FileJob> }
  | { say: "failure"; error: ErrorBody };
