// Hostile layers: each is refused with an error that names layer, entry and reason, or does what it can do inside the image only.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { archive, encodeEntry } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { character, dir, file, hard, link, named, wh } from "../testdata/entries.ts";
import { assertSound, debugfs, namesIn, statOf } from "../testdata/ext4.ts";
import { buildRootfs } from "./build.ts";
import { defaultLimits } from "./limits.ts";
import type { RootfsLimits } from "./limits.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-hostile-"));
after(() => rmSync(directory, { recursive: true }));

type Content = readonly TestEntry[] | Buffer;

/** Builds an image of layers in a directory of its own, beside a file that nothing may touch. */
async function build(layers: readonly Content[], limits: Partial<RootfsLimits> = {}) {
  const own = mkdtempSync(join(directory, "case-"));
  mkdirSync(join(own, "images"));
  writeFileSync(join(own, "canary"), "untouched");
  const target = join(own, "images", "rootfs.ext4");
  const sources = layers.map((content, index) => ({
    label: `L${index + 1}`,
    diffId: undefined,
    open: async () => Readable.from([Buffer.isBuffer(content) ? content : archive(content)]),
  }));
  const progress = quietProgress(new AbortController().signal);
  const outcome: unknown = await buildRootfs(
    { layers: sources, target, kind: "layers", limits: { ...defaultLimits, ...limits } },
    progress,
  ).catch((error: unknown) => error);
  assert.deepEqual(readdirSync(own), ["canary", "images"]);
  for (const name of readdirSync(join(own, "images"))) assert.equal(name, "rootfs.ext4");
  assert.equal(readFileSync(join(own, "canary"), "utf8"), "untouched");
  return { outcome, target, own };
}

/** What is refused: layers, where (the last layer, and this entry of it), why. */
type Refused = readonly [layers: Content | readonly Content[], entry: string | undefined, why: RegExp];

const isStack = (layers: Refused[0]): layers is readonly Content[] =>
  Array.isArray(layers) && (Array.isArray(layers[0]) || Buffer.isBuffer(layers[0]));

const escaped = (odd: string) => `\\u${odd.charCodeAt(0).toString(16).padStart(4, "0")}`;

async function refuse([layers, entry, why]: Refused, limits: Partial<RootfsLimits> = {}): Promise<void> {
  const stack = isStack(layers) ? layers : [[file("below")], layers];
  const { outcome } = await build(stack, limits);
  assert.ok(outcome instanceof BangerError, `was accepted or failed in another way: ${String(outcome)}`);
  assert.equal(outcome.code, "image.invalid");
  const shown = JSON.stringify(entry ?? "").replaceAll(/[\u007f-\u009f\u202e\u2028]/g, escaped);
  const place = `layer "L${stack.length}"${entry === undefined ? "" : `, entry ${shown}`} is not usable: `;
  assert.equal(outcome.message.slice(0, place.length), place, outcome.message);
  assert.match(outcome.message.slice(place.length), why);
  assert.doesNotMatch(outcome.message, /[\p{Cc}\u2028\u202e]/u, "control characters reach no terminal");
  assert.ok(outcome.message.length < 700, "the message is bounded");
}

const acl = (hex: string) => ({ "SCHILY.xattr.system.posix_acl_access": Buffer.from(hex, "hex") });
const paxed = (pax: Record<string, string>): TestEntry => ({ path: "x", pax });

const refused: Record<string, Record<string, Refused>> = {
  "names and paths": {
    "zero byte in a name": [[named("a\0b")], "a\0b", /zero byte/],
    "zero byte in the target of a hard link": [
      [file("f"), { path: "h", type: "1", pax: { linkpath: "f\0g" } }],
      "h",
      /zero byte/,
    ],
    "zero byte in the target of a link": [
      [{ path: "l", type: "2", pax: { linkpath: "a\0b" } }],
      "l",
      /impossible target/,
    ],
    "name of 256 bytes": [[named("n".repeat(256))], `${"n".repeat(160)}…`, /longer than 255/],
    "path of 4096 bytes": [[named(`${"d/".repeat(2047)}xx`)], `${"d/".repeat(80)}…`, /longer than 4095/],
    "tree of 1100 levels": [[named(`${"d/".repeat(1100)}x`)], `${"d/".repeat(80)}…`, /deeper than 1024/],
    "directory of 1024 levels": [[named("d/".repeat(1024), { type: "5" })], `${"d/".repeat(80)}…`, /deeper than 1024/],
    "directory of 1100 levels": [[named("d/".repeat(1100), { type: "5" })], `${"d/".repeat(80)}…`, /deeper than 1024/],
    "tree made deep step by step through links": [
      [
        named("d/".repeat(1000), { type: "5" }),
        { path: "l", type: "2", pax: { linkpath: "d/".repeat(1000) } },
        named(`l/${"e/".repeat(30)}x`),
      ],
      `l/${"e/".repeat(30)}x`,
      /deeper than 1024/,
    ],
    "root that is a link": [[link(".", "/tmp")], ".", /path of the root and is no directory/],
    "root that is a file by way of ..": [[file("a/..", "x")], "a/..", /path of the root/],
    "root that is a hard link": [[[file("f")], [hard("./", "f")]], "./", /path of the root|no file/],
    "escape sequence": [
      [named("\u001b]0;x\u0007\u009b31m", { type: "Z" })],
      "\u001b]0;x\u0007\u009b31m",
      /unknown type "Z"/,
    ],
    "direction mark": [
      [named("a\u202e\u2028b", { type: "6", pax: { uid: "-1" } })],
      "a\u202e\u2028b",
      /impossible owner/,
    ],
  },
  links: {
    "hard link to a file of the host": [[hard("h", "/etc/passwd")], "h", /no "\/etc\/passwd"/],
    "hard link upwards": [[hard("h", "../../../../etc/passwd")], "h", /hard link, and there is no/],
    "hard link through a link to the host": [
      [link("d", "/etc"), hard("h", "d/passwd")],
      "h",
      /hard link, and there is no/,
    ],
    "hard link through a link of the layer below": [[[link("d", "/etc")], [hard("h", "d/passwd")]], "h", /there is no/],
    "hard link to nothing": [[{ path: "h", type: "1" }], "h", /hard link to ""/],
    "hard link to the root": [[hard("h", "/")], "h", /no file/],
    "hard link to a directory": [[dir("d"), hard("h", "d")], "h", /no file/],
    "hard link to what comes later": [[hard("h", "f"), file("f")], "h", /no "f" before it/],
    "hard link to what the layer has deleted": [[[file("f")], [wh(".wh.f"), hard("h", "f")]], "h", /no "f" before it/],
    "hard link to itself alone": [[hard("h", "h")], "h", /no "h" before it/],
    "hard link to a name with control characters": [[hard("h", "\u001b[2J\n")], "h", /no "\\u001b\[2J\\n" before it/],
    "hard link with a very long target": [
      [{ path: "h", type: "1", pax: { linkpath: "n/".repeat(2000) } }],
      "h",
      /there is no/,
    ],
    "links in a circle": [[link("a", "b"), link("b", "a"), file("a/x")], "a/x", /too many symbolic links/],
    "link to itself": [[link("a", "a"), file("a/x")], "a/x", /too many symbolic links/],
    "links in a circle over two layers": [
      [[link("a", "b")], [link("b", "a"), hard("h", "a/x")]],
      "h",
      /too many symbolic/,
    ],
    "link to nothing": [[link("l", "")], "l", /impossible target/],
    "link with a target of 4096 bytes": [
      [{ path: "l", type: "2", pax: { linkpath: "t".repeat(4096) } }],
      "l",
      /impossible/,
    ],
    "path through a link to a long name": [
      [{ path: "l", type: "2", pax: { linkpath: "t".repeat(256) } }, file("l/x")],
      "l/x",
      /too long/,
    ],
    "65001 names of one file": [
      [file("f"), ...Array.from({ length: 65_000 }, (_, index) => hard(`h${index}`, "f"))],
      "h64999",
      /more than 65000 hard links/,
    ],
  },
  whiteouts: {
    "of nothing": [[wh("d/.wh.")], "d/.wh.", /whiteout of nothing/],
    "of the directory": [[wh(".wh..")], ".wh..", /whiteout of nothing/],
    "of the parent": [[wh("a/.wh...")], "a/.wh...", /whiteout of nothing/],
    "of the parent as a directory": [[dir("a/.wh...")], "a/.wh...", /whiteout of nothing/],
    "of the parent as a hard link": [[file("f"), hard("a/.wh...", "f")], "a/.wh...", /whiteout of nothing/],
    "with something in it": [[file(".wh.a/b")], ".wh.a/b", /name is that of a whiteout/],
    "in a whiteout": [[wh(".wh.a/.wh.b")], ".wh.a/.wh.b", /name is that of a whiteout/],
    "as a directory, by way of a link": [[link("l", ".wh.a"), file("l/x")], "l/x", /link to a whiteout's name/],
    "through links in a circle": [[link("a", "a"), wh("a/.wh.x")], "a/.wh.x", /too many symbolic links/],
  },
  "devices, owners, attributes": {
    "major number too large": [[character("c", 4096, 0)], "c", /impossible numbers/],
    "minor number too large": [[{ path: "b", type: "4", major: 0, minor: 2 ** 20 }], "b", /impossible numbers/],
    "owner -1": [[paxed({ uid: "-1" })], "x", /impossible owner/],
    "owner 2^32-1, which means none": [[paxed({ uid: "4294967295" })], "x", /impossible owner/],
    "group 2^32": [[paxed({ gid: "4294967296" })], "x", /impossible owner/],
    "half an owner": [[paxed({ uid: "0.5" })], "x", /no whole number/],
    "owner that is no number": [[paxed({ uid: "root" })], "x", /pax record "uid" is no whole number/],
    "owner as another language writes it": [[paxed({ uid: "0x10" })], "x", /pax record "uid" is no whole number/],
    "owner with spaces": [[paxed({ gid: " 5" })], "x", /pax record "gid" is no whole number/],
    "attributes of more than a block": [
      [paxed({ "SCHILY.xattr.user.a": "v".repeat(4096) })],
      "x",
      /do not fit one block/,
    ],
    "attribute with a long name": [[paxed({ [`SCHILY.xattr.user.${"n".repeat(256)}`]: "v" })], "x", /do not fit/],
    "many small attributes": [
      [paxed(Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`SCHILY.xattr.user.${index}`, "v"])))],
      "x",
      /do not fit one block/,
    ],
    "access list of another version": [[{ path: "x", pax: acl("03000000") }], "x", /access control list/],
    "access list that is cut": [[{ path: "x", pax: acl("0200000001") }], "x", /access control list/],
    "access list that is no text": [[paxed({ "SCHILY.acl.access": "user::everything" })], "x", /access control list/],
  },
  compression: {
    "gzip that is cut": [gzipSync(archive([file("x")])).subarray(0, -9), undefined, /compression is damaged|cut short/],
    "gzip with a wrong checksum": [damaged(gzipSync(archive([file("x")])), -6), undefined, /compression is damaged/],
    "gzip with something behind it": [
      Buffer.concat([gzipSync(archive([file("x")])), Buffer.from("garbage")]),
      undefined,
      /compression is damaged/,
    ],
    "zstd that is cut": [zstdCompressSync(archive([file("x")])).subarray(0, -3), undefined, /cut short|damaged/],
    "zstd with a window of 2 GiB": [zstdWithWindow(31), undefined, /compression is damaged/],
    "zstd with a reserved block": [Buffer.from("28b52ffd0058070000", "hex"), undefined, /damaged/],
    "compressed twice": [gzipSync(gzipSync(archive([file("x")]))), undefined, /no tar archive|cut short/],
    "another compression": [Buffer.from("fd377a585a000004e6d6b446", "hex"), undefined, /cut short|no tar archive/],
    "no archive": [Buffer.alloc(2048, "<html>"), undefined, /no tar archive/],
  },
};

function damaged(bytes: Buffer, at: number): Buffer {
  bytes.writeUInt8(bytes.readUInt8(bytes.length + at) ^ 0xff, bytes.length + at);
  return bytes;
}

/** A frame of one block of zeros that asks for a window of 2^bits bytes. */
function zstdWithWindow(bits: number): Buffer {
  return Buffer.concat([
    Buffer.from("28b52ffd00", "hex"),
    Buffer.from([(bits - 10) << 3]),
    Buffer.from("0310000000", "hex"),
  ]);
}

for (const [area, cases] of Object.entries(refused)) {
  describe(`refused: ${area}`, () => {
    for (const [name, one] of Object.entries(cases)) test(name, () => refuse(one));
  });
}

describe("refused: too much", () => {
  const zeros = archive([file("zeros", Buffer.alloc(3_000_000))]);
  const sparse = (realBytes: number) => ({
    path: "s",
    pax: { "GNU.sparse.map": "", "GNU.sparse.size": String(realBytes) },
  });
  const scattered = (regions: number) => ({
    path: "s",
    data: Buffer.alloc(regions, "x"),
    pax: {
      "GNU.sparse.map": Array.from({ length: regions }, (_, index) => `${index * 1_000_000},1`).join(","),
      "GNU.sparse.size": String(regions * 1_000_000),
    },
  });
  const cases: Record<string, readonly [Refused, Partial<RootfsLimits>]> = {
    "gzip bomb": [[gzipSync(zeros), undefined, /unpacks to more than 1000000 bytes/], { maxUnpackedBytes: 1e6 }],
    "zstd bomb": [
      [zstdCompressSync(zeros), undefined, /unpacks to more than 1000000 bytes/],
      { maxUnpackedBytes: 1e6 },
    ],
    "gzip bomb behind the end of the archive": [
      [gzipSync(Buffer.concat([archive([file("x")]), Buffer.alloc(3_000_000)])), undefined, /unpacks to more than/],
      { maxUnpackedBytes: 1e6 },
    ],
    "bomb in many layers": [
      [[zeros, zeros, zeros], undefined, /unpacks to more than 7000000 bytes/],
      { maxUnpackedBytes: 7e6 },
    ],
    "large contents": [[zeros, "zeros", /larger than 1000000 bytes together/], { maxContentBytes: 1e6 }],
    "sparse file of a PiB": [[[sparse(2 ** 50)], "s", /larger than 1099511627776 bytes/], {}],
    "sparse file of one byte in each MB": [
      [[scattered(2000)], "s", /take more than 1000000 bytes together/],
      { maxContentBytes: 1e6 },
    ],
    "many entries": [
      [Array.from({ length: 60 }, (_, index) => file(`f${index}`)), "f49", /more than 50 entries/],
      { maxEntries: 50 },
    ],
    "many whiteouts": [
      [Array.from({ length: 60 }, (_, index) => wh(`.wh.f${index}`)), ".wh.f49", /more than 50 entries/],
      { maxEntries: 50 },
    ],
    "many entries of one name": [
      [Array.from({ length: 60 }, () => file("f")), "f", /more than 50 entries/],
      { maxEntries: 50 },
    ],
    "directories that no entry names": [
      [[file("a/b/c/d/e/f"), file("x")], "x", /more than 7 entries/],
      { maxEntries: 7 },
    ],
    "long names": [
      [
        [named("n".repeat(250)), named("m".repeat(250))],
        `${"m".repeat(160)}…`,
        /names and attributes are larger than 400/,
      ],
      { maxMetadataBytes: 400 },
    ],
    "many attributes": [
      [
        [paxed({ "SCHILY.xattr.user.a": "v" }), paxed({ "SCHILY.xattr.user.b": "v" })],
        "x",
        /names and attributes are larger than 2000/,
      ],
      { maxMetadataBytes: 2000 },
    ],
    "long targets": [
      [[{ path: "l", type: "2", pax: { linkpath: "t".repeat(500) } }], "l", /names and attributes are larger than 400/],
      { maxMetadataBytes: 400 },
    ],
  };
  for (const [name, [one, limits]] of Object.entries(cases)) test(name, () => refuse(one, limits));

  test("layers", async () => {
    const { outcome } = await build([[], [], []], { maxLayers: 2 });
    assert.match(String(outcome), /3 layers/);
  });
});

describe("contained: what leads out leads nowhere", () => {
  test("names, links, whiteouts and devices stay inside the image", async () => {
    const outside = join(directory, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "victim"), "host");
    const up = `${"../".repeat(30)}${outside.slice(1)}`;
    const { outcome, target } = await build([
      [
        dir("d"),
        file("d/x"),
        link("abs", outside),
        link("up", "", { pax: { linkpath: up } }),
        link("parent", ".."),
        link("etc", "/usr/etc"),
        character("mem", 1, 1, { mode: 0o666 }),
        { path: "disk", type: "4", major: 8, minor: 0 },
        { path: "pipe", type: "6" },
        file("suid", "x", { mode: 0o6755 }),
        file("back\\slash/../x\ny\u001b[31m", "odd"),
      ],
      [
        named(join(outside, "absolute")),
        named(`${up}/relative`),
        file("abs/same"),
        file("up/again"),
        file("parent/parent/parent/file"),
        file("etc/shadow", "image"),
        wh("abs/.wh.victim"),
        named(`${up}/.wh.victim`, { data: "" }),
        wh("abs/.wh..wh..opq"),
        link("abs/l", "/"),
        file("abs/l/at-root"),
        hard("abs/hard", "etc/shadow"),
      ],
    ]);
    assert.ok(!(outcome instanceof Error), String(outcome));
    assertSound(target);
    assert.deepEqual(readdirSync(outside), ["victim"]);
    assert.equal(readFileSync(join(outside, "victim"), "utf8"), "host");
    assert.ok(!existsSync("/at-root") && !existsSync("/file"));
    assert.deepEqual(namesIn(target, outside).toSorted(), ["absolute", "again", "hard", "l", "relative", "same"]);
    for (const path of ["/at-root", "/file"]) assert.equal(statOf(target, path).type, "regular", path);
    assert.equal(debugfs(target, "cat /etc/shadow"), "image");
    assert.equal(statOf(target, "/etc/shadow").inode, statOf(target, `${outside}/hard`).inode);
    assert.equal(statOf(target, "/mem").type, "character special");
    assert.ok(namesIn(target, "/").includes("x\ny\u001b[31m"), namesIn(target, "/").join());
  });

  test("what stands behind the end of the archive is not looked at", async () => {
    const hidden = Buffer.concat([archive([file("a")]), archive([file("hidden")])]);
    const { outcome, target } = await build([hidden]);
    assert.ok(!(outcome instanceof Error), String(outcome));
    assert.deepEqual(namesIn(target, "/").toSorted(), ["a"]);
  });

  test("one block of zeros is no end when something stands behind it: readers do not agree what it means", () =>
    refuse([
      Buffer.concat([encodeEntry(file("a")), Buffer.alloc(512), encodeEntry(file("b")), Buffer.alloc(1024)]),
      undefined,
      /end mark/,
    ]));
});
