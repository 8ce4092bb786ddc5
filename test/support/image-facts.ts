// All that can be seen of a tree of files, so that two trees can be compared: type, mode, owner, times, size, content, targets,
// devices, which names are one file, extended attributes.
import { spawnSync } from "node:child_process";

/** Directories that are newer than the test have the time when they were unpacked, as nothing says one. */
const startedAt = Math.floor(Date.now() / 1000);

const stat = String.raw`%p|%y|%m|%U|%G|%T@|%n|%l|`;
const scripts = {
  entries: String.raw`find . -type d -printf '${stat}\0' -o -printf '${stat}%s\0'`,
  contents: "find . -type f -print0 | xargs -0r sha256sum -z",
  devices: String.raw`find . -type b -o -type c | sort | xargs -r -d '\n' stat -c '%n %t:%T'`,
  names: String.raw`find . ! -type d -links +1 -printf '%i %p\0'`,
  attributes: "getfattr -R -P -h -d -m - -e hex .",
};

/** Of a directory. The facts are latin1 text: one character, one byte. */
export function factsOfTree(directory: string): string[] {
  return facts((script) => shell(["sh", "-ec", `cd "$0"; ${script}`, directory]));
}

/** Of an ext4 file as the kernel has it, mounted read-only where nobody else sees it. `empty`: a directory to mount on. */
export function factsOfImage(image: string, empty: string): string[] {
  const mounted = 'mount -o ro,loop "$0" "$1"; cd "$1"; ';
  return facts((script) => shell(["unshare", "--mount", "sh", "-ec", mounted + script, image, empty]));
}

/** What is in one and not in the other, with who has it; at most 40. */
export function differences(found: readonly string[], wanted: readonly string[]): string[] {
  const [here, there] = [new Set(found), new Set(wanted)];
  return [
    ...found.filter((fact) => !there.has(fact)).map((fact) => `banger: ${fact}`),
    ...wanted.filter((fact) => !here.has(fact)).map((fact) => `umoci:  ${fact}`),
  ]
    .toSorted((a, b) => (a.slice(8) < b.slice(8) ? -1 : 1))
    .slice(0, 40);
}

function facts(look: (script: string) => string): string[] {
  const now = (_: string, seconds: string) => (Number(seconds) >= startedAt ? "|0.0000000000|" : `|${seconds}|`);
  const entries = look(scripts.entries)
    .split("\0")
    .map((line) => line.replace(/\|(\d+\.\d{10})\|/, now));
  const names = new Map<string, string[]>();
  for (const line of look(scripts.names).split("\0")) {
    const [, inode = "", path = ""] = /^(\d+) (.*)$/s.exec(line) ?? [];
    names.set(inode, [...(names.get(inode) ?? []), path]);
  }
  return [
    ...entries,
    ...look(scripts.contents).split("\0"),
    ...look(scripts.devices).split("\n"),
    ...[...names.values()].map((paths) => `one file: ${paths.toSorted().join(" = ")}`),
    ...look(scripts.attributes).split("\n\n"),
  ].filter((fact) => fact !== "");
}

function shell([file = "", ...args]: readonly string[]): string {
  const ran = spawnSync(file, args, { maxBuffer: 1024 ** 3, env: { PATH: process.env["PATH"], LC_ALL: "C" } });
  if (ran.error !== undefined) throw ran.error;
  if (ran.status !== 0) throw new Error(`${args.slice(-3).join(" ")}: ${ran.stderr.toString()}`);
  return ran.stdout.toString("latin1");
}
