// Where the memory of a QEMU process goes, from its /proc/<pid>/smaps. PSS: what several processes share counts for each in parts.
import { readFileSync } from "node:fs";

/** What a mapping is for. */
export const memoryParts = [
  "guest memory, its own",
  "guest memory, shared with the template",
  "translated code",
  "heap, stacks and tables of QEMU",
  "program and libraries",
] as const;
export type MemoryPart = (typeof memoryParts)[number];

/** MiB of each part, by PSS. */
export type MemoryTable = Record<MemoryPart, number>;

const header = /^[0-9a-f]+-[0-9a-f]+ (\S{4}) \S+ \S+ \d+ *(.*)$/;

/** Pure: `memoryFile` is the path of the file that guest memory is mapped from. */
export function memoryTable(smaps: string, memoryFile: string): MemoryTable {
  const table = Object.fromEntries(memoryParts.map((part) => [part, 0])) as MemoryTable;
  let mapping = { permissions: "", path: "" };
  let pss = 0;
  for (const line of smaps.split("\n")) {
    const [, permissions, path] = header.exec(line) ?? [];
    if (permissions !== undefined && path !== undefined) mapping = { permissions, path };
    const [, key, kib] = /^(Pss|Anonymous): +(\d+) kB$/.exec(line) ?? [];
    const mib = Number(kib) / 1024;
    if (key === "Pss") pss = mib;
    if (key !== "Anonymous") continue;
    // Anonymous comes after Pss: of guest memory, the pages that are no longer the template's.
    if (mapping.path.replace(/ \(deleted\)$/, "") === memoryFile) {
      table["guest memory, its own"] += mib;
      table["guest memory, shared with the template"] += Math.max(0, pss - mib);
    } else table[partOf(mapping)] += pss;
  }
  return table;
}

function partOf({ permissions, path }: { permissions: string; path: string }): MemoryPart {
  if (path.startsWith("/")) return "program and libraries";
  return permissions.includes("x") && path === "" ? "translated code" : "heap, stacks and tables of QEMU";
}

/** The whole in MiB, as the kernel sums it up. */
export function pssMib(rollup: string): number {
  const [, kib] = /^Pss: +(\d+) kB$/m.exec(rollup) ?? [];
  if (kib === undefined) throw new Error("no Pss in smaps_rollup");
  return Number(kib) / 1024;
}

/** Of a process that runs; throws when it is gone. */
export function memoryOf(pid: number, memoryFile: string): { pssMib: number; table: MemoryTable } {
  return {
    pssMib: pssMib(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")),
    table: memoryTable(readFileSync(`/proc/${pid}/smaps`, "utf8"), memoryFile),
  };
}
