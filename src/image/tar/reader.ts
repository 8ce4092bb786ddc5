// Walks a tar stream entry by entry. Nothing is written anywhere; hostile input ends in a TarError.
import type { ByteReader } from "./byte-reader.ts";
import { TarError, blockBytes, parseHeader, parsePax } from "./header.ts";
import type { RawHeader } from "./header.ts";

export type TarEntryType = "file" | "directory" | "symlink" | "hardlink" | "character" | "block" | "fifo";

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
  sizeBytes: number;
  xattrs: ReadonlyMap<string, Buffer>;
  /** The file's data, to be read before the next entry is asked for; what is left is skipped. */
  content(): AsyncGenerator<Buffer>;
}

const types: Record<string, TarEntryType> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};
/** Longest extended header: room for long names and a full set of extended attributes. */
const maxExtendedBytes = 1024 * 1024;

interface Extended {
  longName?: string;
  longLink?: string;
  pax?: Map<string, Buffer>;
}

/** Entries up to the end mark. Throws TarError for what is cut short, damaged or not supported. */
export async function* readTar(reader: ByteReader): AsyncGenerator<TarEntry> {
  let extended: Extended = {};
  for (;;) {
    const header = await readHeader(reader);
    if (header === undefined) return;
    if ("LKxXg".includes(header.typeFlag)) {
      if (header.sizeBytes > maxExtendedBytes) throw new TarError("an extended header is too long");
      const data = header.sizeBytes === 0 ? Buffer.alloc(0) : await reader.take(padded(header.sizeBytes));
      if (data === undefined) throw reader.cutShort();
      addExtended(extended, header.typeFlag, data.subarray(0, header.sizeBytes));
      continue;
    }
    const entry = toEntry(header, extended);
    extended = {};
    let leftBytes = entry.sizeBytes;
    entry.content = async function* () {
      while (leftBytes > 0) {
        const piece = await reader.some(leftBytes);
        if (piece === undefined) throw reader.cutShort();
        leftBytes -= piece.length;
        yield piece;
      }
    };
    yield entry;
    await reader.skip(leftBytes + padded(entry.sizeBytes) - entry.sizeBytes);
  }
}

/** The next header; undefined at the end mark. */
async function readHeader(reader: ByteReader): Promise<RawHeader | undefined> {
  const isFirst = reader.offset === 0;
  const block = await reader.take(blockBytes);
  if (block === undefined) throw reader.cutShort();
  try {
    return parseHeader(block);
  } catch (error) {
    if (isFirst && error instanceof TarError) throw new TarError("it is no tar archive", { cause: error });
    throw error;
  }
}

function padded(bytes: number): number {
  return Math.ceil(bytes / blockBytes) * blockBytes;
}

/** Global pax headers ("g") say nothing about single entries and are passed over. */
function addExtended(extended: Extended, typeFlag: string, data: Buffer): void {
  const end = data.indexOf(0);
  if (typeFlag === "L") extended.longName = data.toString("latin1", 0, end < 0 ? data.length : end);
  else if (typeFlag === "K") extended.longLink = data.toString("latin1", 0, end < 0 ? data.length : end);
  else if (typeFlag !== "g") extended.pax = parsePax(Buffer.from(data));
}

function toEntry(header: RawHeader, { longName, longLink, pax }: Extended): TarEntry {
  const paxText = (key: string) => pax?.get(key)?.toString("latin1");
  const paxNumber = (key: string) => {
    const value = paxText(key);
    if (value === undefined || value === "") return undefined;
    const parsed = Number(value);
    if (!Number.isFinite(parsed)) throw new TarError(`a pax record "${key}" is no number`);
    return parsed;
  };
  const path = paxText("path") ?? longName ?? header.name;
  if (header.typeFlag === "S" || (pax !== undefined && [...pax.keys()].some((key) => key.startsWith("GNU.sparse.")))) {
    throw new TarError(`"${path}" is stored as a sparse file: make the archive without --sparse`);
  }
  let type = types[header.typeFlag];
  if (type === undefined) throw new TarError(`"${path}" is of an unknown type "${header.typeFlag}"`);
  if (type === "file" && path.endsWith("/")) type = "directory";
  const sizeBytes = paxNumber("size") ?? header.sizeBytes;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new TarError(`"${path}" has an impossible size`);
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of pax ?? []) {
    if (key.startsWith("SCHILY.xattr.")) xattrs.set(key.slice("SCHILY.xattr.".length), value);
  }
  return {
    path,
    type,
    linkPath: paxText("linkpath") ?? longLink ?? header.linkName,
    mode: header.mode,
    uid: paxNumber("uid") ?? header.uid,
    gid: paxNumber("gid") ?? header.gid,
    ...splitTime(paxText("mtime"), header.mtime),
    major: header.major,
    minor: header.minor,
    // A hard link's data, if there is any, is that of the file it names. Directories and the like have none.
    sizeBytes,
    xattrs,
    async *content() {},
  };
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
