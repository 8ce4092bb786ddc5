// Where the memory of a guest lies in the address space of its QEMU, and which file is mapped there.
import { readFile, readdir, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import { BangerError } from "../../../lib/errors.ts";
import type { MappedMemory } from "../../spare-memory.ts";

/** A mapping in /proc/<pid>/maps or smaps. Addresses are below 2^53 on every platform that Node runs on. */
export interface Mapping {
  start: number;
  end: number;
  /** For example "rw-p". */
  access: string;
  fileOffset: number;
  /** As the file was called, also when it was unlinked; empty for anonymous memory. */
  path: string;
  /** The lines about it in smaps; of maps, nothing. */
  details: string;
}

export interface GuestRam {
  start: number;
  sizeBytes: number;
  /** The file that is mapped, also when it was unlinked; undefined: anonymous memory. */
  baseFile: MappedMemory | undefined;
  /** How much of it the process has changed, or is of no file. */
  ownBytes: number;
}

/** The mappings that the text of /proc/<pid>/maps or smaps shows. */
export function parseMaps(text: string): Mapping[] {
  const heads = [
    ...text.matchAll(/^([0-9a-f]+)-([0-9a-f]+) ([-r][-w][-x][ps]) ([0-9a-f]+) [0-9a-f]+:[0-9a-f]+ \d+ *(.*)$/gm),
  ];
  const hex = (digits: string) => Number.parseInt(digits, 16);
  return heads.map((head, index) => {
    const [line, start = "", end = "", access = "", offset = "", path = ""] = head;
    const details = text.slice(head.index + line.length, heads[index + 1]?.index);
    return { start: hex(start), end: hex(end), access, fileOffset: hex(offset), path: bare(path), details };
  });
}

/** The kernel marks what is unlinked, which may happen to a template between two looks at it. */
const bare = (path: string) => path.replace(/ \(deleted\)$/, "");

/** The host virtual address in QEMU's answer to `gpa2hva`, when what lies there is guest memory of this name. */
export function parseHostAddress(answer: string, name: string): number | undefined {
  const [, found, address] = /^Host virtual address for \S+ \((\S+)\) is 0x([0-9a-f]{1,13})\s*$/.exec(answer) ?? [];
  return found === name ? Number.parseInt(address ?? "", 16) : undefined;
}

const piecesOf = (maps: readonly Mapping[], start: number, sizeBytes: number) =>
  maps.filter((map) => map.end > start && map.start < start + sizeBytes);

/**
 * The file of private memory from `start` on; the kernel may show it as several mappings next to each other. Empty for anonymous
 * memory; undefined when what lies there is anything else than one whole piece of private, writable memory.
 */
export function mappedFile(maps: readonly Mapping[], start: number, sizeBytes: number): string | undefined {
  const pieces = piecesOf(maps, start, sizeBytes);
  const path = pieces[0]?.path;
  let covered = start;
  for (const piece of pieces) {
    if (piece.start > covered || piece.access !== "rw-p" || piece.path !== path) return undefined;
    if (path !== "" && piece.fileOffset - piece.start !== -start) return undefined;
    covered = piece.end;
  }
  return covered >= start + sizeBytes ? path : undefined;
}

/** How much of these mappings is the process's own. */
const ownBytes = (maps: readonly Mapping[]): number =>
  1024 *
  maps
    .flatMap(({ details }) => [...details.matchAll(/^(?:Anonymous|Swap): +(\d+) kB$/gm)])
    .reduce((sum, [, kib]) => sum + Number(kib), 0);

/** What lies from `start` on in process `pid`. Throws `snapshot.failed`. */
export async function inspectRam(pid: number, start: number, sizeBytes: number): Promise<GuestRam> {
  const maps = parseMaps(await readFile(`/proc/${pid}/smaps`, "utf8"));
  const path = mappedFile(maps, start, sizeBytes);
  if (path === undefined) {
    throw new BangerError("snapshot.failed", `the memory of the guest is not to be found in process ${pid}`);
  }
  return {
    start,
    sizeBytes,
    baseFile: path === "" ? undefined : { path, opened: await openFile(pid, path, sizeBytes) },
    ownBytes: ownBytes(piecesOf(maps, start, sizeBytes)),
  };
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
