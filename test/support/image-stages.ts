// The layers of the large test image, made one after the other in a root that mmdebstrap has just put together. mmdebstrap runs
// this file as a hook, with the root and the directory for the layers as arguments.
import { spawnSync } from "node:child_process";
import { closeSync, lstatSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { linkSync, chmodSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { archive, encodeEntry, everything, type TestEntry } from "../../src/image/testdata/archive.ts";

interface Stage {
  change(root: string): void;
  /** Directories that the change makes anew: what they held goes with one mark, and not by name. */
  opaque?: readonly string[];
}

/** Times after it are cut to it (2023-06-10): those of generated files. */
const latestSeconds = 1_686_355_200;

/** What belongs to no image or differs in each build; and /dev, where the build has mounts. */
const leftOut = new Set([
  ...["dev", "proc", "sys", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/cache/ldconfig/aux-cache"],
  ...["apt", "dpkg.log", "alternatives.log", "bootstrap.log"].map((name) => `var/log/${name}`),
  ...["etc/machine-id", "var/lib/dbus/machine-id"],
]);

const packages = (...names: string[]): Stage => ({ change: (root) => install(root, names) });

/** As a tag of many images: a distribution, tools on top of it, then what a user's own steps do. Each is a layer; tests count them from 0. */
const stages: readonly Stage[] = [
  { change: () => {} },
  packages("build-essential"),
  packages("git", "curl", "openssh-client", "jq", "less"),
  packages("nodejs", "npm"),
  packages("golang-go"),
  packages("python3-pip", "python3-venv", "python3-numpy"),
  { change: rearrange, opaque: ["usr/share/doc"] },
];

/** Deletions, and changes of every kind of thing into another, over real files. */
function rearrange(root: string): void {
  const at = (path: string) => join(root, path);
  for (const path of ["usr/share/locale", "usr/share/man", "usr/share/doc"]) rmSync(at(path), { recursive: true });
  mkdirSync(at("usr/share/doc"));
  writeFileSync(at("usr/share/doc/README"), "left out\n");
  // Content that stays the same and has to be written again.
  for (const name of readdirSync(at("usr/lib/git-core"))) {
    if (lstatSync(at(`usr/lib/git-core/${name}`)).isFile()) chmodSync(at(`usr/lib/git-core/${name}`), 0o700);
  }
  rmSync(at("etc/motd"), { force: true });
  mkdirSync(at("etc/motd"));
  writeFileSync(at("etc/motd/10-welcome"), "welcome\n");
  rmSync(at("usr/share/perl5/Debconf"), { recursive: true, force: true });
  writeFileSync(at("usr/share/perl5/Debconf"), "a file where a directory was\n");
  renameSync(at("usr/share/python3"), at("usr/share/python3-moved"));
  symlinkSync("python3-moved", at("usr/share/python3"));
  mkdirSync(at("opt/links"), { recursive: true });
  for (const name of ["bash", "tar", "gzip"]) linkSync(at(`bin/${name}`), at(`opt/links/${name}`));
}

/** What no package has: one entry of each kind, and names, owners and links at their limits. */
const odd: readonly TestEntry[] = [
  // An owner that umoci cannot set, and a name that it takes for a mark.
  ...everything.filter(({ path }) => !["./odd/.wh.kept", "./home/huge-id"].includes(path)),
  { path: "./opt/links/again", type: "1", link: "./opt/links/bash" },
  { path: "./opt/links/.wh.tar" },
  { path: "./lib/through-a-link", data: "in usr/lib" },
  { path: "./usr/share/doc/.wh.README" },
  { path: "./srv/zeros", data: Buffer.concat([Buffer.alloc(3 << 20), Buffer.from("end")]) },
  { path: "./srv/attributes", data: "a", pax: { "SCHILY.xattr.user.large": "v".repeat(3000) } },
  // Once more, last: umoci does not set a directory's time again after it has changed what is in it.
  { path: "./", type: "5", mode: 0o755 },
];

/** Unpacks packages and what they need over the root. Not installed: that takes ten times as long, for the same files. */
function install(root: string, names: readonly string[]): void {
  const archives = join(root, "var/cache/apt/archives");
  rmSync(archives, { recursive: true, force: true });
  mkdirSync(join(archives, "partial"), { recursive: true });
  const quiet = ["--yes", "-qq", "--no-install-recommends"];
  command("apt-get", ["install", "--download-only", ...quiet, ...names], {
    APT_CONFIG: process.env["MMDEBSTRAP_APT_CONFIG"],
  });
  const debs = readdirSync(archives).filter((name) => name.endsWith(".deb") && !unpacked.has(name));
  // As dpkg does it: through links to directories.
  const unpack =
    'for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -xp --numeric-owner --keep-directory-symlink -C "$0"; done';
  command("sh", ["-ec", unpack, root, ...debs.toSorted().map((name) => join(archives, name))]);
  for (const name of debs) unpacked.add(name);
}

/** Names of packages that are in the root. apt does not know of them. */
const unpacked = new Set<string>();

/** Path -> all that tells whether something was changed. Names are latin1 text: one character, one byte. */
type Snapshot = Map<string, string>;

function snapshot(root: string): Snapshot {
  const seen: Snapshot = new Map();
  const visit = (path: string) => {
    if (leftOut.has(path)) return;
    const at = Buffer.from(join(root, path), "latin1");
    const { mode, uid, gid, size, ino, mtimeNs, ctimeNs } = lstatSync(at, { bigint: true });
    seen.set(path, [mode, uid, gid, size, ino, mtimeNs, ctimeNs].join(" "));
    if ((Number(mode) & 0o170000) !== 0o040000) return;
    for (const name of readdirSync(at, "latin1").toSorted()) visit(path === "" ? name : `${path}/${name}`);
  };
  visit("");
  return seen;
}

/** Whiteouts for what is gone, then what is new or changed. */
function writeLayer(root: string, file: string, before: Snapshot, after: Snapshot, opaque: readonly string[]): void {
  const marks = opaque.map((path) => `${path}/.wh..wh..opq`);
  const isBelow = (path: string, directories: readonly string[]) =>
    directories.some((directory) => path.startsWith(`${directory}/`));
  for (const path of before.keys()) {
    const parent = dirname(path);
    // One mark for a tree, and none where something else took the place of a directory.
    if (after.has(path) || (parent !== "." && !isDirectory(after.get(parent))) || isBelow(path, opaque)) continue;
    marks.push(`${parent === "." ? "" : `${parent}/`}.wh.${path.slice(path.lastIndexOf("/") + 1)}`);
  }
  const changed = [...after].filter(([path, facts]) => before.get(path) !== facts || isBelow(path, opaque));
  const output = openSync(file, "wx");
  writeSync(output, Buffer.concat(marks.map((path) => encodeEntry(named(path)))));
  const time = [`--mtime=@${latestSeconds}`, "--clamp-mtime"];
  const facts = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--format=pax"];
  // Without the times of reading and of changing, which differ in each build.
  const records = "--pax-option=delete=atime,delete=ctime,exthdr.name=%d/PaxHeaders/%f";
  const from = ["--no-recursion", "--null", "--verbatim-files-from", `--directory=${root}`, "--files-from=-"];
  const list = Buffer.from(changed.map(([path]) => `./${path}\0`).join(""), "latin1");
  command("tar", ["--create", "--file=-", ...time, ...facts, records, ...from], {}, { input: list, output });
  closeSync(output);
}

function isDirectory(facts: string | undefined): boolean {
  return facts !== undefined && (Number.parseInt(facts, 10) & 0o170000) === 0o040000;
}

function named(path: string): TestEntry {
  const name = `./${path}`;
  return name.length > 99 ? { path: "long", pax: { path: Buffer.from(name, "latin1") } } : { path: name };
}

function command(
  file: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = {},
  streams: { input?: Buffer; output?: number } = {},
): void {
  const { input = "", output = "ignore" } = streams;
  const ran = spawnSync(file, args, {
    env: { ...process.env, LC_ALL: "C", ...environment },
    input,
    stdio: ["pipe", output, "pipe"],
  });
  if (ran.status !== 0) throw new Error(`${file} ${args.join(" ")}: ${ran.error?.message ?? ran.stderr.toString()}`);
}

const [root = "", layers = ""] = process.argv.slice(2);
let before: Snapshot = new Map();
for (const [index, stage] of stages.entries()) {
  stage.change(root);
  const after = snapshot(root);
  writeLayer(root, join(layers, `${index}.tar`), before, after, stage.opaque ?? []);
  before = after;
}
writeFileSync(join(layers, `${stages.length}.tar`), archive(odd));
