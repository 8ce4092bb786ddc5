// Files of the host as a tar stream for the guest's agent. One file is in memory at a time.
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { BangerError } from "../../lib/errors.ts";
import type { HostFile } from "./collect.ts";

const blockBytes = 512;
/** One may have grown since it was looked at. */
const maxFileBytes = 64 * 1024 ** 2;

/** A tar with all of the files; one that went meanwhile is left out. Throws `file.failed`. */
export async function* packFiles(files: readonly HostFile[]): AsyncGenerator<Buffer> {
  for (const file of files) {
    if (file.path === undefined) {
      yield* entry(file, "5", Buffer.alloc(0));
      continue;
    }
    const content = await read(file.path);
    if (content !== undefined) yield* entry(file, "0", content);
  }
  yield Buffer.alloc(2 * blockBytes);
}

async function read(path: string): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const status = await file.stat();
    if (!status.isFile()) return undefined;
    if (status.size > maxFileBytes) throw new Error(`it has grown to ${status.size} bytes`);
    const content = Buffer.alloc(status.size);
    const { bytesRead } = await file.read(content, 0, content.length, 0);
    return content.subarray(0, bytesRead);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new BangerError("file.failed", `"${path}" cannot be copied: ${(error as Error).message}`, { cause: error });
  }
}

function* entry({ name, mode }: HostFile, type: "0" | "5", content: Buffer): Generator<Buffer> {
  const path = type === "5" ? `${name}/` : name;
  // The extended header holds names of any length.
  const record = paxRecord("path", path);
  yield header("pax", 0o600, "x", record.length);
  yield padded(record);
  yield header(type === "5" ? "directory/" : "file", mode, type, content.length);
  if (content.length > 0) yield padded(content);
}

/** "20 path=.config/tool\n": the number counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function header(name: string, mode: number, type: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(blockBytes);
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, "0")}\0`, at, "latin1");
  block.write(name, 0, "latin1");
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(sizeBytes, 124, 11);
  octal(Math.floor(Date.now() / 1000), 136, 11);
  block.write("        ", 148, "latin1");
  block.write(type, 156, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  );
  return block;
}

function padded(content: Buffer): Buffer {
  const rest = content.length % blockBytes;
  return rest === 0 ? content : Buffer.concat([content, Buffer.alloc(blockBytes - rest)]);
}
