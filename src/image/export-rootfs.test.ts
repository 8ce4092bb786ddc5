// Images that were made of a file system, exported as one layer: what comes back is what went in.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { quietProgress } from "../lib/progress.ts";
import { openState, type State } from "../state/open.ts";
import { walkExt4 } from "./ext4-read/walk.ts";
import { type ImageStore, openImageStore } from "./store.ts";
import { archive, type TestEntry } from "./testdata/archive.ts";
import { assertSound, debugfs } from "./testdata/ext4.ts";
import { storePaths } from "./testdata/store-paths.ts";

let root: string;
let state: State;
let store: ImageStore;
const quiet = () => quietProgress(new AbortController().signal);

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-export-"));
  state = openState(join(root, "banger.db"));
  const paths = storePaths(root);
  store = await openImageStore({ paths, table: state.images, usedBy: () => [], log: silentLogger, catalog: [] });
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(root, { recursive: true });
});

/** A line for each file, with all that an archive can say of it. */
async function list(path: string): Promise<string[]> {
  await using file = await open(path, "r");
  const lines: string[] = [];
  for await (const entry of walkExt4(file, new AbortController().signal)) {
    const hash = createHash("sha256");
    if (entry.type === "file") for await (const piece of entry.content()) hash.update(piece);
    const { type, mode, uid, gid, mtimeSeconds, mtimeNanoseconds, linkTo, target, major, minor } = entry;
    const xattrs = [...entry.xattrs].map(([name, value]) => `${name}=${value.toString("hex")}`).toSorted();
    const size = type === "file" ? entry.sizeBytes : 0;
    const facts = [
      type,
      mode.toString(8),
      uid,
      gid,
      mtimeSeconds,
      mtimeNanoseconds,
      linkTo,
      target,
      major,
      minor,
      size,
    ];
    lines.push([entry.path, ...facts, ...xattrs, hash.digest("hex")].join(" "));
  }
  return lines;
}

async function exported(image: string) {
  const path = join(root, `${image}-out`);
  const { original } = await store.export({ image, path }, quiet());
  assert.equal(original, false);
  return await store.importFrom({ path, name: `${image}-again` }, quiet());
}

const name = "é\n\x01\xff";
const long = `${"d".repeat(99)}/${"e".repeat(199)}`;
const acl = Buffer.from(
  "0200000001000600ffffffff02000400e803000004000400ffffffff10000600ffffffff20000400ffffffff",
  "hex",
);
const awkward: TestEntry[] = [
  { path: "./", type: "5", mode: 0o751, uid: 5, gid: 6, mtime: 1_600_000_000 },
  { path: "file", data: "content", mode: 0o4755, uid: 1000, gid: 2_000_000 },
  { path: "also", type: "1", link: "file" },
  { path: "empty" },
  { path: "big", data: Buffer.alloc(3_000_001, "x") },
  { path: "short", type: "2", link: "file" },
  { path: "longer", type: "2", link: "f".repeat(300), pax: { linkpath: "f".repeat(300) } },
  { path: "null", type: "3", mode: 0o666, major: 1, minor: 3 },
  { path: "disk", type: "4", mode: 0o660, major: 259, minor: 70_000 },
  { path: "pipe", type: "6" },
  { path: "times", data: "t", pax: { mtime: "4102444800.123456789" } },
  { path: "before", data: "t", pax: { mtime: "-1.5" } },
  { path: "owner", data: "o", pax: { uid: "4000000000", gid: "3000000000" } },
  {
    path: "attributes",
    data: "a",
    pax: {
      "SCHILY.xattr.user.raw": Buffer.from([0, 10, 61, 255]),
      "SCHILY.xattr.user.empty": "x",
      "SCHILY.xattr.security.capability": Buffer.from("0100000200040000000000000000000000000000", "hex"),
      "SCHILY.xattr.system.posix_acl_access": acl,
    },
  },
  { path: name, data: "odd name" },
  { path: "x", data: "deep", pax: { path: long } },
  ...Array.from({ length: 600 }, (_, index): TestEntry => ({ path: `many/file-${index}`, data: `${index}` })),
];

describe("export of a file system", { concurrency: false }, () => {
  test("owners, times, links, devices, attributes, odd and long names, a directory with an index", async () => {
    writeFileSync(join(root, "awkward.tar"), archive(awkward));
    const record = await store.importFrom({ path: join(root, "awkward.tar"), name: "awkward" }, quiet());
    const before = await list(record.rootfsPath);
    assert.equal(before.length, awkward.length + 2, "all of them, and two directories that nothing names");
    const again = await exported("awkward");
    assertSound(again.rootfsPath);
    assert.deepEqual(await list(again.rootfsPath), before);
    assert.match(debugfs(again.rootfsPath, "stat disk"), /Device major\/minor number: 259:70000/);
    assert.match(debugfs(again.rootfsPath, "cat many/file-599"), /^599$/);
    assert.deepEqual(
      [again.architecture, again.config.command, again.config.user, again.config.workdir],
      [record.architecture, record.config.command, record.config.user, record.config.workdir],
    );
  });

  test("twice the same bytes, and other tools read them", async () => {
    writeFileSync(join(root, "awkward.tar"), archive(awkward));
    await store.importFrom({ path: join(root, "awkward.tar"), name: "awkward" }, quiet());
    const [first, second] = [join(root, "one.tar"), join(root, "two.tar")];
    for (const path of [first, second]) await store.export({ image: "awkward", path }, quiet());
    assert.deepEqual(readFileSync(first), readFileSync(second));
    const docker = spawnSync("skopeo", ["inspect", "--raw", `docker-archive:${first}:awkward:latest`], {
      encoding: "utf8",
    });
    assert.equal(docker.status, 0, docker.stderr);
    const copied = spawnSync(
      "skopeo",
      ["--insecure-policy", "copy", `oci-archive:${first}`, `dir:${join(root, "dir")}`],
      {
        encoding: "utf8",
      },
    );
    assert.equal(copied.status, 0, copied.stderr);
    const layer = JSON.parse(readFileSync(join(root, "dir/manifest.json"), "utf8")) as { layers: { digest: string }[] };
    const tar = join(root, "dir", layer.layers[0]?.digest.slice("sha256:".length) ?? "");
    const listed = execFileSync("tar", ["--list", "--verbose", "--numeric-owner", "-f", tar], { encoding: "utf8" });
    assert.match(listed, /^-rwsr-xr-x 1000\/2000000 +7 .* also$/m);
    assert.match(listed, /^hrwsr-xr-x 1000\/2000000 +0 .* file link to also$/m);
    assert.match(listed, /^crw-rw-rw- 0\/0 +1,3 .* null$/m);
  });

  test("an ext4 file that mke2fs made, with holes and a large directory", async () => {
    const tree = join(root, "tree");
    mkdirSync(join(tree, "sub"), { recursive: true });
    writeFileSync(join(tree, "sub/file"), "text", { mode: 0o640 });
    linkSync(join(tree, "sub/file"), join(tree, "sub/other"));
    symlinkSync("sub/file", join(tree, "link"));
    writeFileSync(join(tree, "holes"), "start");
    truncateSync(join(tree, "holes"), 5 * 1024 * 1024 + 17);
    for (let index = 0; index < 2000; index++) writeFileSync(join(tree, "sub", `${index}-${"n".repeat(40)}`), "");
    chmodSync(tree, 0o700);
    const file = join(root, "made.ext4");
    execFileSync("mke2fs", ["-q", "-t", "ext4", "-d", tree, "-b", "1024", file, "64M"], { stdio: "pipe" });
    await store.register({ path: file, name: "made" }, quiet());
    const again = await exported("made");
    assertSound(again.rootfsPath);
    assert.deepEqual(await list(again.rootfsPath), await list(file));
    assert.equal((await list(file)).length, 2000 + 6);
    assert.match(debugfs(again.rootfsPath, "stat sub/file"), /Mode: +0640[^]*Links: 2/);
    assert.match(debugfs(again.rootfsPath, "stat holes"), /Size: 5242897/);
  });

  test("a file system that is damaged, or cannot be read, is refused, and nothing is written", async () => {
    const file = join(root, "broken.ext4");
    execFileSync("mke2fs", ["-q", "-t", "ext4", file, "16M"], { stdio: "pipe" });
    await store.register({ path: file, name: "broken" }, quiet());
    const refused = async (why: RegExp) => {
      const path = join(root, "out");
      await assert.rejects(store.export({ image: "broken", path }, quiet()), { code: "image.invalid", message: why });
      assert.throws(() => readFileSync(path), { code: "ENOENT" });
    };
    const sound = readFileSync(file);
    const spoil = (at: number, bytes: readonly number[]) => {
      const spoilt = Buffer.from(sound);
      Buffer.from(bytes).copy(spoilt, at);
      writeFileSync(file, spoilt);
    };
    spoil(1024 + 56, [0, 0]);
    await refused(/it is no ext4/);
    spoil(1024 + 96, [0xc6, 0x02]);
    await refused(/journal that was not played back/);
    spoil(1024 + 99, [0x80]);
    await refused(/unknown features \(0x80/);
    spoil(1024 + 40, [0, 0, 0, 0]);
    await refused(/superblock is damaged/);
    writeFileSync(file, sound.subarray(0, 8192));
    await refused(/ends before byte|nowhere/);
    rmSync(file);
    await refused(/cannot be read/);
  });
});
