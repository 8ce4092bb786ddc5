// The files in a tar, read where they lie: one walk over the headers, then any file in any order.
import { type FileHandle, open } from "node:fs/promises";
import { posix } from "node:path";
import { blockBytes, parseHeader, TarError } from "../tar/header.ts";
import type { FileSection } from "../layer/blob-file.ts";
import { section } from "./file-section.ts";
import { type FileTree, missing } from "./file-tree.ts";
import { invalid, printable } from "./manifest.ts";

type Member = { offset: number; sizeBytes: number } | { link: string };

const maxMembers = 100_000;
const maxExtendedBytes = 1024 * 1024;
const deepestLink = 8;

/** Opens an uncompressed tar file; `shown` names it in errors. The tree owns the open file. Throws `image.invalid`. */
export async function openTarTree(path: string, shown: string, signal: AbortSignal): Promise<FileTree> {
  const file = await open(path, "r");
  try {
    const members = await readMembers(file, signal);
    return new TarTree(file, shown, members);
  } catch (error) {
    await file.close();
    if (error instanceof TarError) throw invalid(`"${shown}" is no usable tar: ${error.message}`, error);
    throw error;
  }
}

class TarTree implements FileTree {
  readonly shown: string;
  readonly #file: FileHandle;
  readonly #members: ReadonlyMap<string, Member>;

  constructor(file: FileHandle, shown: string, members: ReadonlyMap<string, Member>) {
    this.#file = file;
    this.shown = shown;
    this.#members = members;
  }

  #find(name: string): { offset: number; sizeBytes: number } | undefined {
    let member = this.#members.get(name);
    for (let hops = 0; member !== undefined && "link" in member; hops++) {
      if (hops === deepestLink) throw invalid(`"${printable(name)}" in "${this.shown}" is a link that leads nowhere`);
      member = this.#members.get(member.link);
    }
    return member;
  }

  async has(name: string): Promise<boolean> {
    return this.#find(name) !== undefined;
  }

  async size(name: string): Promise<number> {
    const member = this.#find(name);
    if (member === undefined) throw missing(this, name);
    return member.sizeBytes;
  }

  async open(name: string, { offset = 0, length = Number.POSITIVE_INFINITY } = {}) {
    const member = this.#find(name);
    if (member === undefined) throw missing(this, name);
    return section(this.#file, member.offset + offset, Math.max(0, Math.min(length, member.sizeBytes - offset)));
  }

  async section(name: string): Promise<FileSection> {
    const member = this.#find(name);
    if (member === undefined) throw missing(this, name);
    return { fd: this.#file.fd, ...member, async [Symbol.asyncDispose]() {} };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

async function readMembers(file: FileHandle, signal: AbortSignal): Promise<Map<string, Member>> {
  const { size: fileBytes } = await file.stat();
  const members = new Map<string, Member>();
  let pax = new Map<string, string>();
  let longName: string | undefined;
  let longLink: string | undefined;
  let entries = 0;
  for (let at = 0; ;) {
    signal.throwIfAborted();
    const block = await readAt(file, at, blockBytes, fileBytes);
    const header = parseHeader(block);
    if (header === undefined) return members;
    if (++entries > maxMembers) throw new TarError(`it has more than ${maxMembers} entries`);
    const data = at + blockBytes;
    const paxSize = pax.get("size");
    const extended = "LKxXg".includes(header.typeFlag);
    const sizeBytes = !extended && paxSize !== undefined ? Number(paxSize) : header.sizeBytes;
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new TarError("an entry has no valid size");
    if (data + sizeBytes > fileBytes) throw new TarError(`it is cut short at byte ${fileBytes}`);
    at = data + Math.ceil(sizeBytes / blockBytes) * blockBytes;
    if (extended) {
      if (sizeBytes > maxExtendedBytes) throw new TarError("an extended header is too long");
      const value = await readAt(file, data, sizeBytes, fileBytes);
      if (header.typeFlag === "L") longName = cString(value);
      else if (header.typeFlag === "K") longLink = cString(value);
      else if (header.typeFlag !== "g") pax = paxFields(value);
      continue;
    }
    const name = normal(pax.get("path") ?? longName ?? header.name);
    const target = pax.get("linkpath") ?? longLink ?? header.linkName;
    if ("\u000007".includes(header.typeFlag)) members.set(name, { offset: data, sizeBytes });
    else if (header.typeFlag === "1") members.set(name, { link: normal(target) });
    else if (header.typeFlag === "2") members.set(name, { link: normal(posix.join(posix.dirname(name), target)) });
    pax = new Map();
    longName = longLink = undefined;
  }
}

async function readAt(file: FileHandle, at: number, length: number, fileBytes: number): Promise<Buffer> {
  if (at >= fileBytes) throw new TarError("it has no end mark");
  const block = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(block, done, length - done, at + done);
    if (bytesRead === 0) throw new TarError(`it is cut short at byte ${at + done}`);
    done += bytesRead;
  }
  return block;
}

/** Only a key of a map: a name with ".." finds nothing. */
function normal(name: string): string {
  return posix.normalize(name).replace(/^\/+/, "");
}

/** Records "<length> <key>=<value>\n"; what comes after a malformed one is not looked at. */
function paxFields(data: Buffer): Map<string, string> {
  const fields = new Map<string, string>();
  for (let at = 0; at < data.length;) {
    const [, digits = "", key = ""] = /^(\d{1,9}) ([^=]+)=/.exec(data.toString("latin1", at, at + 200)) ?? [];
    const end = at + Number(digits);
    if (digits === "" || end > data.length) break;
    fields.set(key, data.toString("latin1", at + digits.length + key.length + 2, end - 1));
    at = end;
  }
  return fields;
}

function cString(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString("latin1", 0, end < 0 ? value.length : end);
}
