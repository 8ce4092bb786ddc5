// A layer in an open file, for the thread that builds the image to read by itself: its bytes never pass the daemon's own thread.
import type { Descriptor } from "../../lib/oci-content.ts";
import { SharedCount } from "../../lib/shared-count.ts";

/** Part of an open file. Disposing it closes what was opened for it. */
export interface FileSection extends AsyncDisposable {
  fd: number;
  offset: number;
  sizeBytes: number;
}

/** A blob in a file, of which more may still arrive. The file stays open until this is disposed. */
export interface BlobFile extends AsyncDisposable {
  fd: number;
  offset: number;
  sizeBytes: number;
  /** What it has to be, for whoever reads it; undefined when that is seen to while it arrives. */
  check: Descriptor | undefined;
  /** How many bytes of it may be read. */
  count: SharedCount;
  /** Settles when all of it may be, or no more can come. */
  done: Promise<void>;
  /** It was read, and is not what it has to be. */
  damaged(): void;
}

/** A blob that is there as a whole and has not been checked. `damaged` is called when it is not what the descriptor says. */
export function wholeBlob(section: FileSection, check: Descriptor, damaged: () => void = () => {}): BlobFile {
  const { fd, offset } = section;
  const count = new SharedCount();
  // One byte more than it should have, so that a longer one is seen.
  count.value = Math.min(section.sizeBytes, check.sizeBytes + 1);
  return {
    fd,
    offset,
    sizeBytes: check.sizeBytes,
    check,
    count,
    done: Promise.resolve(),
    damaged,
    [Symbol.asyncDispose]: () => section[Symbol.asyncDispose](),
  };
}
