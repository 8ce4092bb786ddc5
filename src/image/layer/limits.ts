// What an image may cost to build. Everything from a layer is counted while it is read, so bombs end early.
import { TarError } from "../tar/header.ts";
import type { TarEntry } from "../tar/reader.ts";
import { blockBytes } from "../ext4/block-output.ts";
import { maxFileBytes } from "../ext4/extents.ts";

export interface RootfsLimits {
  /** Entries of all layers, and directories that no entry names but paths go through. */
  maxEntries: number;
  /** Bytes of names, targets of links and extended attributes: all of them are in memory until the image is written. */
  maxMetadataBytes: number;
  /** Bytes of file contents in the layers, unpacked, without the holes of sparse files; also what they take in whole blocks. */
  maxContentBytes: number;
  /** Bytes of the unpacked layers with headers and padding. */
  maxUnpackedBytes: number;
  /** Bytes of one file with its holes. */
  maxFileBytes: number;
  /** More than any builder makes: Docker stops at 127. */
  maxLayers: number;
  /** Deepest directory. */
  maxDepth: number;
}

export const defaultLimits: RootfsLimits = {
  maxEntries: 1_000_000,
  maxMetadataBytes: 256 * 1024 ** 2,
  maxContentBytes: 64 * 1024 ** 3,
  maxUnpackedBytes: 72 * 1024 ** 3,
  maxFileBytes: 1024 ** 4,
  maxLayers: 512,
  maxDepth: 1024,
};

/** What an attribute takes of the memory beside its name and value. */
const attributeBytes = 1024;

/** The limits for images of at most `maxBytes` of files and `maxEntries` entries; the others follow, or are what they are. */
export function limitsOf({ maxBytes, maxEntries }: { maxBytes: number; maxEntries: number }): RootfsLimits {
  // Headers and padding take a kibibyte or two of each entry.
  const maxUnpackedBytes = maxBytes + Math.max(maxBytes / 8, maxEntries * 2048);
  return { ...defaultLimits, maxContentBytes: maxBytes, maxUnpackedBytes, maxEntries };
}

/** Counts what comes out of layers, and throws TarError when it is too much. */
export class LimitCounter {
  entries = 0;
  readonly #limits: RootfsLimits;
  #metadataBytes = 0;
  #contentBytes = 0;
  #unpackedBytes = 0;
  #writtenBytes = 0;

  constructor(limits: RootfsLimits) {
    this.#limits = limits;
  }

  addUnpacked(bytes: number): void {
    this.#unpackedBytes += bytes;
    const { maxUnpackedBytes } = this.#limits;
    if (this.#unpackedBytes > maxUnpackedBytes) throw new TarError(`it unpacks to more than ${maxUnpackedBytes} bytes`);
  }

  /** A few bytes here and there in a sparse file take far more of the image than of the layer. */
  addWritten(bytes: number): void {
    this.#writtenBytes += bytes;
    const { maxContentBytes } = this.#limits;
    if (this.#writtenBytes > maxContentBytes + this.entries * blockBytes) {
      throw new TarError(`its files take more than ${maxContentBytes} bytes together`);
    }
  }

  addEntry(entry: TarEntry, impliedDirectories: number): void {
    const { maxEntries, maxMetadataBytes, maxContentBytes } = this.#limits;
    this.entries++;
    this.#metadataBytes += entry.path.length + entry.linkPath.length;
    for (const [name, value] of entry.xattrs) this.#metadataBytes += name.length + value.length + attributeBytes;
    for (const text of entry.aclTexts.values()) this.#metadataBytes += text.length + attributeBytes;
    if (this.#metadataBytes > maxMetadataBytes) {
      throw new TarError(`its names and attributes are larger than ${maxMetadataBytes} bytes together`);
    }
    if (this.entries + impliedDirectories > maxEntries) throw new TarError(`it has more than ${maxEntries} entries`);
    this.#contentBytes += entry.storedBytes;
    if (this.#contentBytes > maxContentBytes) {
      throw new TarError(`its files are larger than ${maxContentBytes} bytes together`);
    }
    const largest = Math.min(maxFileBytes, this.#limits.maxFileBytes);
    if (entry.sizeBytes > largest) throw new TarError(`it is larger than ${largest} bytes`);
  }
}
