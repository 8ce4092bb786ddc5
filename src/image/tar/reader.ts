// Walks a tar stream entry by entry. Nothing is written anywhere; hostile input ends in a TarError.
import type { ByteReader } from "./byte-reader.ts";
import { TarError, blockBytes, looksLikeHeader, parseHeader } from "./header.ts";
import type { RawHeader } from "./header.ts";
import { PaxFields, parsePax } from "./pax.ts";
import type { PaxRecord } from "./pax.ts";
import { leadingMap, oldGnuMap, paxMap, paxSparseForm } from "./sparse.ts";
import type { SparseRegion } from "./sparse.ts";

export type TarEntryType = "file" | "directory" | "symlink" | "hardlink" | "character" | "block" | "fifo";

/** Takes a file's content in order: `skip` stands for that many zeros. */
export interface ContentSink {
  write(piece: Buffer): void;
  skip(bytes: number): void;
}

export interface TarEntry {
  /** Bytes as latin1 text, as they stand in the archive. */
  path: string;
  type: TarEntryType;
  linkPath: string;
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  major: number;
  minor: number;
  /** Size of the file, with its holes. */
  sizeBytes: number;
  /** Bytes of it that are in the archive. */
  storedBytes: number;
  xattrs: ReadonlyMap<string, Buffer>;
  /** Access control lists as text: "access" and "default". */
  aclTexts: ReadonlyMap<string, string>;
  /** Reads the file's data; to be called before the next entry is asked for, at most once. What nobody reads is skipped. */
  read(sink: ContentSink): Promise<void>;
}

const types: Record<string, TarEntryType> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  S: "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  D: "directory",
  "6": "fifo",
};
/** Longest extended header: room for long names and a full set of extended attributes. */
const maxExtendedBytes = 1024 * 1024;
const maxExtendedHeaders = 64;

interface Extended {
  count: number;
  longName?: string;
  longLink?: string;
  pax?: PaxRecord[];
}

export interface TarOptions {
  /** Whether the archive may end without its end mark, where the next header would be. */
  mayEndEarly?: boolean;
}

/** Entries up to the end mark. Throws TarError for what is cut short, damaged or not supported. */
export async function* readTar(reader: ByteReader, options: TarOptions = {}): AsyncGenerator<TarEntry> {
  let extended: Extended = { count: 0 };
  for (;;) {
    const found = await readHeader(reader, options.mayEndEarly === true && extended.count === 0);
    if (found === undefined) {
      if (extended.count > 0 && (extended.pax ?? extended.longName ?? extended.longLink) !== undefined) {
        throw new TarError("it ends after an extended header");
      }
      return;
    }
    const { header, block } = found;
    if ("LKxXg".includes(header.typeFlag)) {
      try {
        await readExtended(reader, header, extended);
      } catch (error) {
        throw blaming(error, header.name);
      }
      continue;
    }
    const { entry, skipRest } = await openEntry(reader, header, block, extended);
    extended = { count: 0 };
    yield entry;
    await skipRest();
  }
}

/** The next header; undefined at the end. */
async function readHeader(
  reader: ByteReader,
  mayEnd: boolean,
): Promise<{ header: RawHeader; block: Buffer } | undefined> {
  const isFirst = reader.offset === 0;
  const block = await reader.take(blockBytes);
  if (block === undefined) {
    if (mayEnd) return undefined;
    throw reader.cutShort();
  }
  try {
    const header = parseHeader(block);
    if (header !== undefined) return { header, block };
    // Readers do not agree whether one block of zeros is the end: what stands behind it would be there for some only.
    const next = await reader.peek(blockBytes);
    if (next.some((byte) => byte !== 0)) throw new TarError("its end mark is only one block long");
    return undefined;
  } catch (error) {
    if (isFirst && error instanceof TarError) throw new TarError("it is no tar archive", { cause: error });
    throw error;
  }
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/** The error, with the entry that it is about. */
function blaming(error: unknown, path: string): unknown {
  if (error instanceof TarError) error.entry ??= path;
  return error;
}

async function readExtended(reader: ByteReader, header: RawHeader, extended: Extended): Promise<void> {
  extended.count++;
  if (header.sizeBytes > maxExtendedBytes) throw new TarError("an extended header is too long");
  if (extended.count > maxExtendedHeaders) throw new TarError("an entry has too many extended headers");
  const data = header.sizeBytes === 0 ? Buffer.alloc(0) : await reader.take(padded(header.sizeBytes));
  if (data === undefined) throw reader.cutShort();
  addExtended(extended, header.typeFlag, data.subarray(0, header.sizeBytes));
}

/** Global pax headers ("g") say nothing about single entries and are passed over. */
function addExtended(extended: Extended, typeFlag: string, data: Buffer): void {
  const end = data.indexOf(0);
  const text = () => data.toString("latin1", 0, end < 0 ? data.length : end);
  if (typeFlag === "L") extended.longName = text();
  else if (typeFlag === "K") extended.longLink = text();
  else if (typeFlag !== "g") extended.pax = parsePax(Buffer.from(data));
}

async function openEntry(
  reader: ByteReader,
  header: RawHeader,
  block: Buffer,
  extended: Extended,
): Promise<{ entry: TarEntry; skipRest: () => Promise<void> }> {
  const records = extended.pax ?? [];
  const fields = new PaxFields(records);
  const path = fields.text("GNU.sparse.name") ?? fields.text("path") ?? extended.longName ?? header.name;
  try {
    return await describeEntry(reader, { header, block, extended, records, fields, path });
  } catch (error) {
    throw blaming(error, path);
  }
}

interface EntryParts {
  header: RawHeader;
  block: Buffer;
  extended: Extended;
  records: readonly PaxRecord[];
  fields: PaxFields;
  path: string;
}

async function describeEntry(
  reader: ByteReader,
  { header, block, extended, records, fields, path }: EntryParts,
): Promise<{ entry: TarEntry; skipRest: () => Promise<void> }> {
  const stated = fields.number("size") ?? header.sizeBytes;
  if (!Number.isSafeInteger(stated) || stated < 0) throw new TarError("it has an impossible size");
  let type = types[header.typeFlag];
  if (type === undefined) throw new TarError(`it is of the unknown type ${JSON.stringify(header.typeFlag)}`);
  // What v7 has for a directory; with a type of its own, a file is one.
  if (header.typeFlag === "\0" && path.endsWith("/")) type = "directory";

  // The block of the header is gone once more is read.
  const { uid, gid } = { uid: fields.number("uid") ?? header.uid, gid: fields.number("gid") ?? header.gid };
  const sparseHeader = header.typeFlag === "S" ? Buffer.from(block) : undefined;
  let sizeBytes = type === "file" ? stated : 0;
  let dataBytes = type === "file" || (await hasData(reader, stated)) ? stated : 0;
  const paddingBytes = padded(dataBytes) - dataBytes;
  let regions: readonly SparseRegion[] | undefined;
  const form = type === "file" ? paxSparseForm(records) : undefined;
  if (type === "file" && sparseHeader !== undefined) {
    ({ regions, realBytes: sizeBytes } = await oldGnuMap(sparseHeader, reader));
  } else if (form === "1.0") {
    const { map, takenBytes } = await leadingMap(reader, dataBytes, records);
    ({ regions, realBytes: sizeBytes } = map);
    dataBytes -= takenBytes;
  } else if (form !== undefined) ({ regions, realBytes: sizeBytes } = paxMap(records, form));
  if (regions !== undefined && regions.reduce((sum, region) => sum + region.sizeBytes, 0) > dataBytes) {
    throw new TarError("its sparse map names more data than there is");
  }

  let leftBytes = dataBytes;
  const take = async (bytes: number, sink: ContentSink) => {
    leftBytes -= bytes;
    await reader.pass(bytes, (piece) => sink.write(piece));
  };
  const entry: TarEntry = {
    path,
    type,
    linkPath: fields.text("linkpath") ?? extended.longLink ?? header.linkName,
    mode: header.mode,
    uid,
    gid,
    ...splitTime(fields.text("mtime"), header.mtime),
    major: header.major,
    minor: header.minor,
    sizeBytes,
    storedBytes: type === "file" ? dataBytes : 0,
    xattrs: fields.xattrs(),
    aclTexts: fields.aclTexts(),
    async read(sink) {
      if (type !== "file") return;
      if (regions === undefined) return await take(dataBytes, sink);
      let at = 0;
      for (const region of regions) {
        if (region.offset > at) sink.skip(region.offset - at);
        await take(region.sizeBytes, sink);
        at = region.offset + region.sizeBytes;
      }
      if (sizeBytes > at) sink.skip(sizeBytes - at);
    },
  };
  return { entry, skipRest: () => reader.skip(leftBytes + paddingBytes) };
}

/**
 * Whether an entry that is no file is followed by the data that its size speaks of: some programs store the size of what
 * a link names, and no data; others store data that means nothing.
 */
async function hasData(reader: ByteReader, sizeBytes: number): Promise<boolean> {
  if (sizeBytes === 0) return false;
  const next = await reader.peek(blockBytes);
  return next.length === blockBytes && !looksLikeHeader(next);
}

function splitTime(pax: string | undefined, fallback: number): { mtimeSeconds: number; mtimeNanoseconds: number } {
  const match = /^(-?\d{1,12})(?:\.(\d+))?$/.exec(pax ?? "");
  if (match === null) return { mtimeSeconds: fallback, mtimeNanoseconds: 0 };
  let mtimeSeconds = Number(match[1]);
  let mtimeNanoseconds = Number((match[2] ?? "").padEnd(9, "0").slice(0, 9));
  if ((match[1] ?? "").startsWith("-") && mtimeNanoseconds > 0) {
    mtimeSeconds -= 1;
    mtimeNanoseconds = 1_000_000_000 - mtimeNanoseconds;
  }
  return { mtimeSeconds, mtimeNanoseconds };
}
