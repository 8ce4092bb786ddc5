// Where the memory of a guest lies in the address space of its QEMU, and which file is mapped there.
import { readFile, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../../../lib/errors.ts";
import type { MappedMemory } from "../../spare-memory.ts";

/** One line of /proc/<pid>/maps. Addresses are below 2^53 on every platform that Node runs on. */
export interface Mapping {
  start: number;
  end: number;
  /** For example "rw-p". */
  access: string;
  fileOffset: number;
  /** Device and number of the file, as this kernel writes them: equal for two processes that map the same one. */
  file: string;
  /** As the file was called, also when it was unlinked; empty for anonymous memory. */
  path: string;
}

export interface GuestRam {
  start: number;
  sizeBytes: number;
  /** The file that is mapped, also when it was unlinked; undefined: anonymous memory. */
  baseFile: MappedMemory | undefined;
}

/** The lines of /proc/<pid>/maps; others are left out. */
export function parseMaps(text: string): Mapping[] {
  const hex = (digits: string) => Number.parseInt(digits, 16);
  return text.split("\n").flatMap((line) => {
    const found = /^([0-9a-f]+)-([0-9a-f]+) ([-r][-w][-x][ps]) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+ \d+) *(.*)$/.exec(line);
    if (found === null) return [];
    const [, start = "", end = "", access = "", offset = "", file = "", path = ""] = found;
    return [{ start: hex(start), end: hex(end), access, fileOffset: hex(offset), file, path: bare(path) }];
  });
}

/** The kernel marks what is unlinked, which may happen to a template between two looks at it. */
const bare = (path: string) => path.replace(/ \(deleted\)$/, "");

/** The host virtual address in QEMU's answer to `gpa2hva`, when what lies there is guest memory of this name. */
export function parseHostAddress(answer: string, name: string): number | undefined {
  const [, found, address] = /^Host virtual address for \S+ \((\S+)\) is 0x([0-9a-f]{1,13})\s*$/.exec(answer) ?? [];
  return found === name ? Number.parseInt(address ?? "", 16) : undefined;
}

/**
 * The file of private memory from `start` on; the kernel may show it as several mappings next to each other. Empty for anonymous
 * memory; undefined when what lies there is anything else than one whole piece of private, writable memory.
 */
export function mappedFile(maps: readonly Mapping[], start: number, sizeBytes: number): string | undefined {
  const pieces = maps.filter((map) => map.end > start && map.start < start + sizeBytes);
  const path = pieces[0]?.path;
  let covered = start;
  for (const piece of pieces) {
    if (piece.start > covered || piece.access !== "rw-p" || piece.path !== path) return undefined;
    if (path !== "" && piece.fileOffset - piece.start !== -start) return undefined;
    covered = piece.end;
  }
  return covered >= start + sizeBytes ? path : undefined;
}

/** What lies from `start` on in process `pid`. Throws `snapshot.failed`. */
export async function inspectRam(pid: number, start: number, sizeBytes: number): Promise<GuestRam> {
  const maps = parseMaps(await readFile(`/proc/${pid}/maps`, "utf8"));
  const path = mappedFile(maps, start, sizeBytes);
  if (path === undefined) {
    throw new BangerError("snapshot.failed", `the memory of the guest is not to be found in process ${pid}`);
  }
  return {
    start,
    sizeBytes,
    baseFile: path === "" ? undefined : { path, opened: await openFile(pid, path, sizeBytes) },
  };
}

/**
 * Where another process maps the file that process `pid` has from `start` on, as the memory of a guest of this size. Throws `snapshot.failed`
 * when it does not.
 */
export async function whereMapped(pid: number, start: number, sizeBytes: number, other: number): Promise<number> {
  const [ours, theirs] = await Promise.all(
    [pid, other].map(async (id) => parseMaps(await readFile(`/proc/${id}/maps`, "utf8"))),
  );
  const base = ours?.find((map) => map.start === start);
  const there = theirs?.find((map) => map.file === base?.file && map.fileOffset === 0);
  if (there === undefined || base === undefined || mappedFile(theirs ?? [], there.start, sizeBytes) !== there.path) {
    throw new BangerError("snapshot.failed", `process ${other} does not map the memory file of process ${pid}`);
  }
  return there.start;
}

/** QEMU keeps the file that it maps open, so it can be read through its process when nobody else can open it any more. */
async function openFile(pid: number, path: string, sizeBytes: number): Promise<string> {
  const directory = `/proc/${pid}/fd`;
  for (const name of await readdir(directory)) {
    const candidate = join(directory, name);
    // A descriptor may be closed between these calls.
    if (bare(await readlink(candidate).catch(() => "")) !== path) continue;
    const info = await stat(candidate).catch(() => undefined);
    if (info?.isFile() === true && info.size === sizeBytes) return candidate;
  }
  throw new BangerError("snapshot.failed", `process ${pid} has its memory file "${path}" not open`);
}
