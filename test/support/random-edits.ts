// Random work on the files of a directory: edits, additions, deletions, renames, modes, links, binary files, files that become
// directories, names of any bytes. All of it follows from the seed.
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { pick, randomFrom, type Random } from "../../src/lib/testdata/fuzz.ts";

/** Paths as latin1 text: each character is a byte. */
type Bytes = string;

const names: readonly Bytes[] = [
  "plain",
  "with space",
  'quote\'s "both"',
  "new\nline",
  "-dash",
  "tab\there",
  "back\\slash",
  "\xc3\xbcnicode",
  "l\xe9gacy",
  ".hidden",
  "UPPER",
  "upper",
  "a*b?[c]",
  "$(x)`y`",
  "end ",
  "...",
];

const file = (directory: string, path: Bytes) => Buffer.from(`${directory}/${path}`, "latin1");

/** Makes the files that each seed begins with. */
export function firstFiles(seed: number, directory: string): void {
  const random = randomFrom(seed * 7 + 1);
  for (let left = 4 + random(4); left > 0; left--) add(directory, freshPath(random, directory), random);
}

/** Changes them. `part`: 0 and 1 are different work, so that something can be done in between. */
export function randomEdits(seed: number, part: number, directory: string): void {
  const random = randomFrom(seed * 31 + part);
  for (let left = 1 + random(5); left > 0; left--) {
    const there = listed(directory, "");
    const path = there.length === 0 ? undefined : pick(random, there);
    const fresh = freshPath(random, directory);
    if (path === undefined || random(4) === 0) {
      add(directory, fresh, random);
      continue;
    }
    const target = file(directory, path);
    const isLink = lstatSync(target).isSymbolicLink();
    switch (random(9)) {
      case 0:
      case 1:
        if (!isLink) appendFileSync(target, text(random));
        break;
      case 2:
        rmSync(target);
        writeFileSync(target, content(random));
        break;
      case 3:
        rmSync(target);
        break;
      case 4:
      case 5:
        makeParents(directory, fresh);
        renameSync(target, file(directory, fresh));
        break;
      case 6:
        if (!isLink) chmodSync(target, (lstatSync(target).mode & 0o100) === 0 ? 0o755 : 0o644);
        break;
      case 7:
        rmSync(target);
        mkdirSync(target);
        writeFileSync(file(directory, `${path}/inside`), "a file became a directory\n");
        break;
      default:
        rmSync(file(directory, path.split("/")[0] ?? path), { recursive: true });
        writeFileSync(file(directory, path.split("/")[0] ?? path), "a directory became a file\n");
    }
    if (random(3) === 0) writeFileSync(file(directory, `n${random(1000)}.ignored`), "never leaves the guest\n");
  }
}

function add(directory: string, path: Bytes, random: Random): void {
  makeParents(directory, path);
  const target = file(directory, path);
  if (random(6) === 0) symlinkSync(pick(random, ["plain", "../up", "/etc/passwd", "no where"]), target);
  else writeFileSync(target, content(random), { mode: random(4) === 0 ? 0o755 : 0o644 });
}

/** A path that is free and has no file above it. */
function freshPath(random: Random, directory: string): Bytes {
  for (;;) {
    const path = `${pick(random, ["", "", "sub/", "sub/deep/", "made/of/"])}n${random(1000)}${pick(random, names)}`;
    const parents = path.split("/").slice(0, -1);
    const blocked = parents.some((_, at) => {
      const parent = file(directory, parents.slice(0, at + 1).join("/"));
      return existsSync(parent) && !lstatSync(parent).isDirectory();
    });
    if (!blocked && !existsSync(file(directory, path))) return path;
  }
}

function makeParents(directory: string, path: Bytes): void {
  mkdirSync(file(directory, path.slice(0, Math.max(0, path.lastIndexOf("/")))), { recursive: true });
}

function listed(directory: string, below: Bytes): Bytes[] {
  return readdirSync(file(directory, below), { withFileTypes: true, encoding: "buffer" })
    .toSorted((one, other) => Buffer.compare(one.name, other.name))
    .flatMap((entry) => {
      const path = `${below}${entry.name.toString("latin1")}`;
      if (entry.isDirectory()) return listed(directory, `${path}/`);
      return path.endsWith(".ignored") ? [] : [path];
    });
}

function content(random: Random): Buffer | string {
  return random(3) === 0 ? Buffer.from(Array.from({ length: 1 + random(60) }, () => random(256))) : text(random);
}

function text(random: Random): string {
  const start = random(50);
  return Array.from({ length: 1 + random(12) }, (_, at) => `line ${start + at}\n`).join("");
}
