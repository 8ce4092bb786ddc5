// Reads kernel module files: unpacks compressed ones and reads what they say about themselves (section .modinfo).
import { readFile } from "node:fs/promises";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { BangerError } from "../lib/errors.ts";
import { run } from "../lib/run.ts";

const maxModuleBytes = 64 * 1024 * 1024;

/** The plain ELF bytes of a .ko, .ko.gz, .ko.zst or .ko.xz file. */
export async function readModule(path: string, signal: AbortSignal): Promise<Buffer> {
  const limit = { maxOutputLength: maxModuleBytes };
  try {
    if (path.endsWith(".xz")) {
      return (await run({ file: "xz", args: ["-dc", "--", path], maxOutputBytes: maxModuleBytes, signal })).stdout;
    }
    const data = await readFile(path, { signal });
    if (path.endsWith(".zst")) return zstdDecompressSync(data, limit);
    return path.endsWith(".gz") ? gunzipSync(data, limit) : data;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof BangerError && error.code === "command.missing") throw error;
    throw new BangerError("kernel.invalid", `kernel module "${path}" cannot be read`, { cause: error });
  }
}

/** The key=value pairs of the .modinfo section, in order; keys repeat. `path` is for the error. */
export function parseModinfo(elf: Buffer, path: string): [string, string][] {
  const section = findSection(elf, ".modinfo");
  if (section === undefined) {
    throw new BangerError("kernel.invalid", `"${path}" is no kernel module: it has no .modinfo section`);
  }
  return section
    .toString("latin1")
    .split("\0")
    .filter((text) => text.includes("="))
    .map((text) => [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]);
}

/** Contents of a section of a little-endian 64-bit ELF file; undefined when the file is anything else. */
function findSection(elf: Buffer, wanted: string): Buffer | undefined {
  if (elf.length < 64 || elf.readUInt32BE(0) !== 0x7f454c46 || elf[4] !== 2 || elf[5] !== 1) return undefined;
  const table = Number(elf.readBigUInt64LE(0x28));
  const entrySize = elf.readUInt16LE(0x3a);
  const count = elf.readUInt16LE(0x3c);
  if (entrySize < 64 || table + entrySize * count > elf.length) return undefined;
  const namesIndex = elf.readUInt16LE(0x3e);
  if (namesIndex >= count) return undefined;
  const content = (index: number) => {
    const header = table + index * entrySize;
    const offset = Number(elf.readBigUInt64LE(header + 0x18));
    return elf.subarray(offset, offset + Number(elf.readBigUInt64LE(header + 0x20)));
  };
  const names = content(namesIndex);
  for (let index = 0; index < count; index++) {
    const nameAt = elf.readUInt32LE(table + index * entrySize);
    if (names.toString("latin1", nameAt, nameAt + wanted.length + 1) === `${wanted}\0`) return content(index);
  }
  return undefined;
}
