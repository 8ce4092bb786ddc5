// Images on which tools disagree, and what is right: as umoci has it, or as stands here.
import { encodeEntry } from "../../src/image/testdata/archive.ts";
import type { TestEntry } from "../../src/image/testdata/archive.ts";
import { character, dir, file, hard, link, named, wh } from "../../src/image/testdata/entries.ts";

export interface SpecialImage {
  layers: readonly (readonly TestEntry[] | Buffer)[];
  /** Why the error is what it is, for an image that is refused. */
  refused?: RegExp;
  /** Everything in the image, for one that umoci unpacks in another way or not at all: path and content, target or kind. */
  gives?: Record<string, string>;
  /** What umoci does instead. Absent: the same. */
  umoci?: string;
}

const fifo = (path: string): TestEntry => ({ path, type: "6" });
const at = (mtime: number) => ({ mtime });
const xattr = (name: string, value: string | Buffer) => ({ [`SCHILY.xattr.${name}`]: value });
const below = [dir("d", at(1_600_000_000)), file("d/old"), dir("d/sub"), file("d/sub/old"), file("f")];

const whiteouts: Record<string, SpecialImage> = {
  "of a file": { layers: [below, [wh(".wh.f")]] },
  "of a directory": { layers: [below, [wh(".wh.d")]] },
  "of a link, not of what it names": { layers: [[file("f"), link("l", "f")], [wh(".wh.l")]] },
  "of a pipe, a device, one of two names": {
    layers: [
      [fifo("p"), character("c", 1, 3), file("a"), hard("b", "a")],
      [wh(".wh.p"), wh(".wh.c"), wh(".wh.a")],
    ],
  },
  "of what is not there": { layers: [below, [wh(".wh.none"), wh("none/.wh.x")]] },
  "in a file": { layers: [below, [wh("f/.wh.x")]] },
  "through a link": { layers: [[...below, link("l", "d")], [wh("l/.wh.old")]] },
  "through an absolute link": { layers: [[...below, link("l", "/d/sub")], [wh("l/.wh.old")]] },
  "before a file of the same layer": { layers: [below, [wh(".wh.f"), file("f", "new")]] },
  "after a file of the same layer": { layers: [below, [file("f", "new"), wh(".wh.f")]] },
  "of a directory that is made again": { layers: [below, [wh(".wh.d"), dir("d"), file("d/new")]] },
  "of a directory that was made again": { layers: [below, [dir("d"), file("d/new"), wh(".wh.d")]] },
  "of a directory that a file needs": { layers: [below, [wh(".wh.d"), file("d/new")]] },
  "of a directory that a file needed": {
    layers: [below, [file("d/new"), wh(".wh.d")]],
    gives: { d: "directory", "d/new": "d/new", f: "f" },
    umoci: "keeps mode and owner of the old directory, when the whiteout does not come first",
  },
  "of a file that becomes a directory": { layers: [below, [wh(".wh.f"), file("f/x")]] },
  "of a directory that becomes a file": { layers: [below, [wh(".wh.d"), file("d")]] },
  "of a file in the lowest layer": { layers: [[file("f"), wh(".wh.f")]] },
  "in the middle of three": { layers: [[file("f", "1")], [wh(".wh.f")], [file("f", "3")]] },
  "that has content": { layers: [below, [wh(".wh.f", { data: "more" })]] },
  "that is a directory": { layers: [below, [dir(".wh.f")]] },
  "that is a link": { layers: [below, [link(".wh.f", "d")]] },
  "that names another whiteout, as buildah writes them": {
    layers: [below, [wh(".wh.f"), { path: "d/.wh.old", data: "", link: ".wh.f" }]],
  },
  "that is a hard link to another": { layers: [below, [wh(".wh.f"), hard("d/.wh.old", ".wh.f")]] },
  "names that only look like one": { layers: [[file(".whx"), file("wh.x"), file("x.wh.y"), file(".w")]] },
  "of nothing": {
    layers: [below, [wh(".wh.")]],
    refused: /whiteout of nothing/,
    umoci: "not tried: clears the directory",
  },
  "of the directory itself": {
    layers: [below, [wh("d/.wh..")]],
    refused: /of nothing/,
    umoci: "not tried: deletes it",
  },
  "of the parent": { layers: [below, [wh("d/.wh...")]], refused: /of nothing/, umoci: "not tried: deletes the root" },
  "with something in it": {
    layers: [below, [file(".wh.f/x")]],
    refused: /that of a whiteout/,
    umoci: "makes a directory",
  },
  "left over from storage drivers": {
    layers: [[dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), wh(".wh..wh.aufs"), dir(".wh..wh.orph"), file("x")]],
    gives: { x: "x" },
    umoci: "leaves some of them in the tree",
  },
};

const opaque: Record<string, SpecialImage> = {
  "a directory": { layers: [below, [dir("d"), wh("d/.wh..wh..opq"), file("d/new")]] },
  "after the new files": { layers: [below, [dir("d"), file("d/new"), wh("d/.wh..wh..opq")]] },
  "before the directory's own entry": {
    layers: [below, [wh("d/.wh..wh..opq"), dir("d", { mode: 0o700 }), file("d/new")]],
  },
  "without an entry for the directory": { layers: [below, [wh("d/.wh..wh..opq"), file("d/new")]] },
  "the root": { layers: [below, [wh(".wh..wh..opq"), file("new")]] },
  "the root, with ./": { layers: [below, [file("./new"), wh("./.wh..wh..opq")]] },
  "with a new file deep within": { layers: [below, [wh("d/.wh..wh..opq"), file("d/sub/new")]] },
  "after a new file deep within": { layers: [below, [dir("d/sub"), file("d/sub/new"), wh("d/.wh..wh..opq")]] },
  twice: { layers: [below, [wh("d/.wh..wh..opq"), file("d/new"), wh("d/.wh..wh..opq")]] },
  "of what is not there": { layers: [below, [wh("none/.wh..wh..opq")]] },
  "in the lowest layer": { layers: [[dir("d"), file("d/x"), wh("d/.wh..wh..opq")]] },
  "through a link": {
    layers: [
      [...below, link("l", "d")],
      [wh("l/.wh..wh..opq"), file("l/new")],
    ],
  },
  "of a directory in the place of a link": {
    layers: [
      [...below, link("l", "d")],
      [dir("l"), wh("l/.wh..wh..opq"), file("l/new")],
    ],
  },
  "and a whiteout of it": { layers: [below, [wh(".wh.d"), dir("d"), wh("d/.wh..wh..opq"), file("d/new")]] },
  "with links to what it hides": { layers: [[...below, hard("kept", "d/old")], [wh("d/.wh..wh..opq")]] },
  "that is a directory": { layers: [below, [dir("d"), dir("d/.wh..wh..opq"), file("d/new")]] },
};

const kinds: Record<string, (path: string) => TestEntry[]> = {
  file: (path) => [file(path)],
  directory: (path) => [dir(path, at(1_650_000_000)), file(`${path}/in`), dir(path, at(1_650_000_000))],
  link: (path) => [link(path, "target")],
  pipe: (path) => [fifo(path)],
  device: (path) => [character(path, 5, 1)],
};
const replacements = Object.fromEntries(
  Object.entries(kinds).flatMap(([from, before]) =>
    Object.entries(kinds).flatMap(([to, after]) => [
      [`a ${from} by a ${to}, a layer later`, { layers: [before("x"), after("x")] }],
      [`a ${from} by a ${to}, in one layer`, { layers: [[...before("x"), ...after("x")]] }],
    ]),
  ),
) as Record<string, SpecialImage>;

const usr = [dir("usr"), dir("usr/lib", { mode: 0o711 }), link("lib", "usr/lib"), file("usr/lib/a")];
const parents: Record<string, SpecialImage> = {
  "that no entry names": { layers: [[file("a/b/c")]] },
  "that only the layer below names": { layers: [[dir("d", { mode: 0o700, uid: 5 })], [file("d/x")]] },
  "links, a layer later": { layers: [usr, [file("lib/b"), dir("lib/c"), link("lib/d", "a")]] },
  "links, in one layer": { layers: [[...usr, file("lib/b")]] },
  "absolute links": { layers: [[dir("usr"), link("lib", "/usr")], [file("lib/b")]] },
  "links upwards, further than the root": { layers: [[dir("t"), link("l", "../../../t")], [file("l/x")]] },
  "links over links": { layers: [[dir("t"), link("a", "b"), link("b", "c"), link("c", "t")], [file("a/x")]] },
  "links to what is not there": { layers: [[link("l", "t/u")], [file("l/x")]] },
  "links with .. behind a link": {
    layers: [[dir("a"), dir("a/b"), link("l", "a/b"), link("m", "l/../x")], [file("m/f")]],
  },
  "a directory in the place of a link": { layers: [usr, [dir("lib", { mode: 0o700 }), file("lib/b")]] },
  "a file": {
    layers: [[file("f")], [file("f/x")]],
    gives: { f: "directory", "f/x": "f/x" },
    umoci: "0.4 refuses it, 0.6 has this",
  },
  "a file of the same layer": {
    layers: [[file("f"), file("f/x")]],
    gives: { f: "directory", "f/x": "f/x" },
    umoci: "0.4 refuses it, 0.6 has this",
  },
  "a pipe": {
    layers: [[fifo("p")], [file("p/x")]],
    gives: { p: "directory", "p/x": "p/x" },
    umoci: "0.4 refuses it, 0.6 has this",
  },
  "a link to a file": {
    layers: [[file("f"), link("l", "f")], [file("l/x")]],
    gives: { f: "directory", "f/x": "l/x", l: "-> f" },
    umoci: "0.4 refuses it, 0.6 has this",
  },
  "links in a circle": {
    layers: [[link("a", "b"), link("b", "a")], [file("a/x")]],
    refused: /too many symbolic links/,
  },
};

const links: Record<string, SpecialImage> = {
  "in one layer": { layers: [[file("a"), hard("b", "a"), hard("c", "b")]] },
  "to a layer below": { layers: [[file("a")], [hard("b", "a")]] },
  "to a link": { layers: [[link("l", "nowhere"), hard("m", "l")]] },
  "to a pipe and a device": { layers: [[fifo("p"), hard("q", "p"), character("c", 1, 3), hard("d", "c")]] },
  "through a linked directory": { layers: [usr, [hard("b", "lib/a"), hard("lib/c", "/usr/lib/a")]] },
  "with another mode and owner": {
    layers: [[file("a", "a", { mode: 0o600 }), hard("b", "a", { mode: 0o777, uid: 9 })]],
  },
  "one name is replaced": { layers: [[file("a", "1"), hard("b", "a")], [file("a", "2")]] },
  "one name is replaced in the same layer": { layers: [[file("a", "1"), hard("b", "a"), file("a", "2")]] },
  "one name is deleted": { layers: [[file("a", "1"), hard("b", "a")], [wh(".wh.a")]] },
  "over a file": { layers: [[file("a"), file("b")], [hard("b", "a")]] },
  "over a directory": { layers: [[file("a"), dir("d"), file("d/x")], [hard("d", "a")]] },
  "to itself": { layers: [[file("a"), hard("a", "a")]], gives: { a: "a" }, umoci: "loses the file" },
  "to another name of itself": { layers: [[file("a"), hard("b", "a"), hard("a", "b")]] },
  "to what comes later": { layers: [[hard("b", "a"), file("a")]], refused: /no "a" before it/ },
  "to nothing": { layers: [[hard("b", "none")]], refused: /no "none" before it/ },
  "to a directory": { layers: [[dir("d"), hard("b", "d")]], refused: /no file/ },
  upwards: { layers: [[file("a"), hard("b", "../../a")]] },
};

const names: Record<string, SpecialImage> = {
  "the last of two files": { layers: [[file("a", "1"), file("a", "2")]] },
  "the last of two spellings": { layers: [[file("a", "1"), file("./a", "2"), file("/a", "3"), file("x/../a", "4")]] },
  "the last of two directories": {
    layers: [[dir("d", { mode: 0o700 }), file("d/x"), dir("d", { mode: 0o711, uid: 3 })]],
  },
  upwards: { layers: [[file("../a"), file("x/../../b"), dir("../../c")]] },
  absolute: { layers: [[file("/a"), dir("/d/"), file("//e")]] },
  "with slashes": { layers: [[file("a//b///c"), file("./././d"), dir("e//")]] },
  "a file with a slash at the end": { layers: [[{ path: "d/", type: "0", mode: 0o755 }]] },
  "no text": { layers: [[file("\xff\xfe"), file("a\nb"), file("a\\b"), file(" "), file("\u001b[31m"), file("-rf")]] },
  "composed and decomposed": { layers: [[named("\u00e9", { data: "1" }), named("e\u0301", { data: "2" })]] },
  "of 255 bytes": { layers: [[named("n".repeat(255)), named(`${"d".repeat(200)}/${"e".repeat(200)}/f`)]] },
  "of 256 bytes": { layers: [[named("n".repeat(256))]], refused: /longer than 255/ },
  "that are dots": { layers: [[file("..."), file("..a"), file(".a."), dir("....")]] },
  "the root's own": {
    layers: [[dir("./", { mode: 0o711, uid: 7, gid: 8 }), file("a"), dir("./", { mode: 0o711, uid: 7, gid: 8 })]],
  },
  "the root as a link": { layers: [[link(".", "/tmp")]], refused: /is no directory/ },
};

const breakouts: Record<string, SpecialImage> = {
  "a file behind a link upwards": { layers: [[link("l", "../../../outside")], [file("l/x")]] },
  "a file behind an absolute link": { layers: [[link("l", "/outside"), file("l/x")]] },
  "a file behind links upon links": { layers: [[link("a", "/b/c"), link("b", "../../outside")], [file("a/x")]] },
  "a file in the place of a link": { layers: [[link("l", "/outside/x")], [file("l", "new")]] },
  "an empty file in the place of a link": { layers: [[link("l", "/outside/x"), file("l", "")]] },
  "a directory behind a link": { layers: [[link("l", "../outside")], [dir("l/d"), file("l/d/x"), dir("l/d")]] },
  "a link behind a link": { layers: [[link("l", "/outside"), link("l/m", "../../.."), file("l/m/x")]] },
  "a hard link to a link to the host, with another mode": {
    layers: [[link("l", "/etc/passwd"), hard("h", "l", { mode: 0o777, uid: 1 })]],
  },
  "a file in the place of a hard link to a link": {
    layers: [[link("l", "/outside"), hard("h", "l")], [file("h", "x")]],
  },
  "a hard link in the place of a link": { layers: [[file("f"), link("l", "/outside")], [hard("l", "f")]] },
  "a hard link behind a link": { layers: [[file("f"), link("l", "/outside")], [hard("l/h", "/f")]] },
  "a link in the place of a directory, then more of the directory": {
    layers: [[dir("d"), file("d/x")], [link("d", "/outside")], [file("d/y")]],
  },
  "a whiteout behind a link upwards": {
    layers: [[dir("outside"), file("outside/x"), link("l", "../../outside")], [wh("l/.wh.x")]],
  },
  "an opaque marker behind an absolute link": {
    layers: [[dir("outside"), file("outside/x"), link("l", "/outside")], [wh("l/.wh..wh..opq")]],
  },
  "a device behind a link": { layers: [[link("l", "/outside")], [character("l/mem", 1, 1), fifo("l/pipe")]] },
};

/** An entry in a header of another kind, with the checksum for it. */
function reshaped(entry: TestEntry, change: (header: Buffer) => void): Buffer {
  const bytes = encodeEntry(entry);
  change(bytes.subarray(0, 512));
  bytes.fill(" ", 148, 156);
  const sum = bytes.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, "0")}\0`, 148, "latin1");
  return bytes;
}
const tar = (...parts: Buffer[]) => Buffer.concat([...parts, Buffer.alloc(1024)]);

const formats: Record<string, SpecialImage> = {
  v7: { layers: [tar(reshaped(file("x"), (header) => header.fill(0, 257, 512)))] },
  "long names of GNU": {
    layers: [[{ path: "L", type: "L", data: `${"n".repeat(150)}\0` }, file("short", "long"), link("l", "x")]],
  },
  "contiguous files": {
    layers: [tar(reshaped(file("x"), (header) => header.write("7", 156)))],
    gives: { x: "x" },
    umoci: "refuses",
  },
  "global headers": {
    layers: [[{ path: "g", type: "g", data: "17 path=elsewhere\n" }, file("x")]],
    gives: { x: "x" },
    umoci: "refuses",
  },
  "sparse 0.1": {
    layers: [
      [
        file("s", "ab", {
          pax: {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.name": "s",
            "GNU.sparse.map": "0,1,9000,1",
            "GNU.sparse.numblocks": "2",
            "GNU.sparse.size": "9001",
          },
        }),
      ],
    ],
  },
  "numbers in base 256": {
    layers: [tar(reshaped(file("x"), (header) => Buffer.from([0x80, 0, 0, 0, 0, 1, 0x11, 0x70]).copy(header, 108)))],
  },
  "no end": { layers: [encodeEntry(file("x"))] },
  "more behind the end": { layers: [tar(encodeEntry(file("x")), Buffer.alloc(1024), encodeEntry(file("hidden")))] },
};

const attributes: Record<string, SpecialImage> = {
  modes: {
    layers: [
      [
        file("suid", "x", { mode: 0o6755 }),
        dir("sticky", { mode: 0o1777 }),
        file("none", "x", { mode: 0 }),
        dir("closed", { mode: 0 }),
      ],
    ],
  },
  owners: { layers: [[file("a", "a", { uid: 70_000, gid: 65_534 }), named("b", { pax: { uid: "4294967294" } })]] },
  times: {
    layers: [
      [
        file("a", "a", { pax: { mtime: "1600000000.123456789" } }),
        file("b", "b", { mtime: 1 }),
        file("c", "c", { pax: { mtime: "4000000000.5" } }),
      ],
    ],
  },
  "of users and capabilities": {
    layers: [
      [
        file("a", "a", {
          pax: {
            ...xattr("user.a", "a=b\n\0c"),
            ...xattr("security.capability", Buffer.from("0100000200200000000000000000000000000000", "hex")),
          },
        }),
      ],
    ],
  },
  "of overlayfs": {
    layers: [
      [
        dir("d", { pax: xattr("trusted.overlay.opaque", "y") }),
        file("d/x"),
        dir("d", { pax: xattr("trusted.overlay.opaque", "y") }),
      ],
    ],
  },
  "of a device 0:0, which overlayfs takes for a whiteout": { layers: [[file("a")], [character("a", 0, 0)]] },
  "replaced with the file": { layers: [[file("a", "1", { pax: xattr("user.a", "1") })], [file("a", "2")]] },
  "large devices": { layers: [[character("c", 300, 70_000), { path: "b", type: "4", major: 8, minor: 300 }]] },
};

/** By area and name. */
export const specialImages: Record<string, Record<string, SpecialImage>> = {
  whiteouts,
  opaque,
  replacements,
  parents,
  "hard links": links,
  breakouts,
  names,
  formats,
  attributes,
};
