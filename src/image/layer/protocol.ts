// What the daemon and the thread that builds an image say to each other. Bytes move to the thread without being shared.
import type { ErrorBody } from "../../lib/errors.ts";
import type { ProgressMemory } from "../../lib/shared-progress.ts";
import type { BlobFile } from "./blob-file.ts";
import type { BuildOptions, Rootfs } from "./build.ts";

/** What the thread reads by itself: a file, or the tar of a directory. Neither: it asks, and gets an open file, or the bytes. */
export interface ReadByThread {
  path?: string | undefined;
  directory?: string | undefined;
}

/** What a thread is started with. */
export interface BuildJob extends Omit<BuildOptions, "layers"> {
  layers: ({ label: string; diffId: string | undefined } & ReadByThread)[];
  bytes: ProgressMemory;
}

/** A layer in an open file. */
export interface LayerFile extends Pick<BlobFile, "fd" | "offset" | "sizeBytes" | "check"> {
  /** Memory of the count of bytes that may be read. */
  count: SharedArrayBuffer;
}

export type ToBuilder =
  | { say: "file"; layer: number; file: LayerFile }
  | { say: "chunk"; layer: number; bytes: Uint8Array }
  | { say: "end"; layer: number }
  | { say: "failed"; layer: number; error: ErrorBody }
  | { say: "abort"; error: ErrorBody };

export type FromBuilder =
  /** The layer is wanted, and `chunksInFlight` chunks of it at first. */
  | { say: "open"; layer: number }
  /** One more chunk of the layer is wanted. */
  | { say: "more"; layer: number }
  /** What the file has is not what it should be. */
  | { say: "damaged"; layer: number }
  /** Nothing more of the layer is wanted. */
  | { say: "close"; layer: number }
  | { say: "stage"; name: string; detail: string | undefined }
  | { say: "done"; rootfs: Rootfs }
  | { say: "failure"; error: ErrorBody };

/** Chunks of a layer that may be on their way. Each has at most `maxChunkBytes`. */
export const chunksInFlight = 8;
export const maxChunkBytes = 1024 * 1024;
