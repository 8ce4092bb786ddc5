// Headers of entries in archives that we write: ustar, with pax records before it for what that cannot say.

export interface TarFields {
  /** Bytes as latin1 text. */
  path: string;
  typeFlag: "0" | "1" | "2" | "3" | "4" | "5" | "6";
  sizeBytes: number;
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  /** Of a link of either kind. */
  linkPath: string;
  major: number;
  minor: number;
  xattrs: ReadonlyMap<string, Buffer>;
}

const blockBytes = 512;
const longestName = 100;
const plain: Omit<TarFields, "path" | "sizeBytes"> = {
  typeFlag: "0",
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtimeSeconds: 0,
  mtimeNanoseconds: 0,
  linkPath: "",
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

/** The header of a plain file; `name` has at most 100 bytes. Owner and time are always the same. */
export function tarHeader(name: string, sizeBytes: number): Buffer {
  return ustar({ ...plain, path: name, sizeBytes }, "0");
}

/** All that stands before the content of an entry. The content is filled up to whole blocks of 512 bytes. */
export function tarEntryHeader(fields: TarFields): Buffer {
  const records = paxRecords(fields);
  if (records.length === 0) return ustar(fields, fields.typeFlag);
  const data = Buffer.concat(records);
  const extension = ustar({ ...plain, path: "PaxHeaders/entry", sizeBytes: data.length }, "x");
  return Buffer.concat([extension, data, padding(data.length), ustar(fields, fields.typeFlag)]);
}

/** Zeros up to the end of the block. */
export function padding(sizeBytes: number): Buffer {
  return Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes);
}

function paxRecords(fields: TarFields): Buffer[] {
  const { path, linkPath, uid, gid, xattrs } = fields;
  const records: Buffer[] = [];
  const say = (key: string, value: string | Buffer) =>
    records.push(paxRecord(key, Buffer.from(value as string, "latin1")));
  if (path.length > longestName) say("path", path);
  if (linkPath.length > longestName) say("linkpath", linkPath);
  if (uid >= 8 ** 7) say("uid", String(uid));
  if (gid >= 8 ** 7) say("gid", String(gid));
  if (fields.mtimeNanoseconds !== 0 || fields.mtimeSeconds < 0 || fields.mtimeSeconds >= 8 ** 11) {
    say("mtime", decimalTime(fields));
  }
  for (const [name, value] of xattrs) say(`SCHILY.xattr.${name}`, value);
  return records;
}

/** "<length> <key>=<value>\n", where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), value, Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function decimalTime({ mtimeSeconds, mtimeNanoseconds }: TarFields): string {
  if (mtimeNanoseconds === 0) return String(mtimeSeconds);
  const isBefore = mtimeSeconds < 0;
  const whole = isBefore ? -mtimeSeconds - 1 : mtimeSeconds;
  const fraction = isBefore ? 1_000_000_000 - mtimeNanoseconds : mtimeNanoseconds;
  return `${isBefore ? "-" : ""}${whole}.${String(fraction).padStart(9, "0")}`;
}

function ustar(fields: TarFields, typeFlag: string): Buffer {
  const header = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, digits: number) =>
    header.write(`${Math.max(0, value).toString(8).padStart(digits, "0").slice(-digits)}\0`, at);
  header.write(fields.path, 0, longestName, "latin1");
  octal(fields.mode, 100, 7);
  octal(fields.uid, 108, 7);
  octal(fields.gid, 116, 7);
  if (fields.sizeBytes < 8 ** 11) octal(fields.sizeBytes, 124, 11);
  else {
    header[124] = 0x80;
    header.writeBigUInt64BE(BigInt(fields.sizeBytes), 128);
  }
  octal(fields.mtimeSeconds, 136, 11);
  header.write(" ".repeat(8), 148);
  header.write(typeFlag, 156);
  header.write(fields.linkPath, 157, longestName, "latin1");
  header.write("ustar\0", 257);
  header.write("00", 263);
  octal(fields.major, 329, 7);
  octal(fields.minor, 337, 7);
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}
