// Layers are applied as the OCI specification says, and, where it says nothing, as umoci does.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { BangerError } from "../../lib/errors.ts";
import { quietProgress } from "../../lib/progress.ts";
import { archive } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { assertSound } from "../testdata/ext4.ts";
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { ByteReader } from "../tar/byte-reader.ts";
import { readTar } from "../tar/reader.ts";
import { rootfsFromLayers } from "../rootfs.ts";
import { LayerTree } from "./layer-tree.ts";
import { defaultLimits } from "./limits.ts";
import type { RootfsLimits } from "./limits.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-layers-"));
after(() => rmSync(directory, { recursive: true }));

const file = (path: string, data = path, more: Partial<TestEntry> = {}): TestEntry => ({ path, data, ...more });
const dir = (path: string, more: Partial<TestEntry> = {}): TestEntry => ({ path, type: "5", mode: 0o750, ...more });
const link = (path: string, target: string): TestEntry => ({ path, type: "2", link: target });
const hard = (path: string, target: string): TestEntry => ({ path, type: "1", link: target });
const wh = (path: string): TestEntry => ({ path, data: "" });

/** Every path of a tree with what it is: files by the path they first came from. */
async function applied(...layers: TestEntry[][]): Promise<Record<string, string>> {
  const tree = new LayerTree({ whiteouts: true, upwards: "clamp", maxDepth: 100 }, () => {});
  const contents = new Map<TreeNode, string>();
  for (const entries of layers) {
    tree.beginLayer();
    for await (const entry of readTar(new ByteReader(Readable.from([archive(entries)])))) {
      const pieces: Buffer[] = [];
      await tree.apply(entry, async () => {
        await entry.read({ write: (piece) => pieces.push(Buffer.from(piece)), skip() {} });
        return [{ logical: 0, physical: contents.size, blocks: 1 }];
      });
      const made = at(tree.root, entry.path);
      if (made?.type === "file" && !contents.has(made)) contents.set(made, Buffer.concat(pieces).toString());
    }
  }
  const found: Record<string, string> = {};
  const list = (node: DirectoryNode, prefix: string) => {
    for (const [name, child] of node.children) {
      const path = `${prefix}${name}`;
      if (child.type === "directory") {
        found[`${path}/`] = child.mode.toString(8);
        list(child, `${path}/`);
      } else if (child.type === "file")
        found[path] = `${contents.get(child) ?? "?"}${child.links > 1 ? ` x${child.links}` : ""}`;
      else found[path] = child.type === "symlink" ? `-> ${child.target}` : child.type;
    }
  };
  list(tree.root, "");
  return found;
}

/** Where an entry ended up; only plain paths are looked up. */
function at(root: DirectoryNode, path: string): TreeNode | undefined {
  let node: TreeNode | undefined = root;
  for (const name of path.split("/").filter((part) => part !== "" && part !== ".")) {
    node = node?.type === "directory" ? node.children.get(name) : undefined;
    if (node?.type === "symlink") node = at(root, node.target);
  }
  return node;
}

const cases: Record<string, { layers: TestEntry[][]; gives: Record<string, string> }> = {
  "a whiteout deletes a file, a link and a directory of the layers below": {
    layers: [
      [file("f"), link("l", "f"), dir("d"), file("d/x"), file("kept")],
      [wh(".wh.f"), wh(".wh.l"), wh(".wh.d"), wh(".wh.none")],
    ],
    gives: { kept: "kept" },
  },
  "a whiteout deletes nothing of its own layer, wherever it stands": {
    layers: [
      [file("a", "old"), file("b", "old")],
      [wh(".wh.a"), file("a", "new"), file("b", "new"), wh(".wh.b")],
    ],
    gives: { a: "new", b: "new" },
  },
  "a directory that is deleted and made again has nothing old": {
    layers: [
      [dir("d"), file("d/old"), dir("d/sub"), file("d/sub/old")],
      [wh(".wh.d"), dir("d", { mode: 0o700 }), file("d/new")],
    ],
    gives: { "d/": "700", "d/new": "d/new" },
  },
  "the same with the whiteout at the end": {
    layers: [
      [dir("d"), file("d/old"), dir("d/sub"), file("d/sub/old")],
      [dir("d", { mode: 0o700 }), file("d/new"), wh(".wh.d")],
    ],
    gives: { "d/": "700", "d/new": "d/new" },
  },
  "an opaque directory shows only its own layer, wherever the marker stands": {
    layers: [
      [dir("d"), file("d/old"), dir("e"), file("e/old"), dir("e/sub"), file("e/sub/old")],
      [wh("d/.wh..wh..opq"), file("d/new"), dir("e"), file("e/sub/new"), wh("e/.wh..wh..opq")],
    ],
    gives: { "d/": "750", "d/new": "d/new", "e/": "750", "e/sub/": "755", "e/sub/new": "e/sub/new" },
  },
  "an opaque root clears everything below": {
    layers: [
      [file("old"), dir("d"), file("d/x")],
      [wh(".wh..wh..opq"), file("new")],
    ],
    gives: { new: "new" },
  },
  "any type replaces any other": {
    layers: [
      [file("a"), dir("b"), file("b/x"), link("c", "b"), dir("e"), { path: "f", type: "6" }],
      [dir("a"), file("b", "file"), dir("c"), link("e", "b"), { path: "f", type: "3", major: 1, minor: 3 }],
    ],
    gives: { "a/": "750", b: "file", "c/": "750", e: "-> b", f: "character" },
  },
  "links on the way are followed, and not replaced": {
    layers: [
      [dir("usr"), dir("usr/lib"), link("lib", "usr/lib"), file("usr/lib/a")],
      [file("lib/b"), wh("lib/.wh.a")],
    ],
    gives: { "usr/": "750", "usr/lib/": "750", "usr/lib/b": "lib/b", lib: "-> usr/lib" },
  },
  "a directory entry replaces a link, and an opaque marker in it spares what the link named": {
    layers: [
      [dir("usr"), dir("usr/lib"), link("lib", "usr/lib"), file("usr/lib/a")],
      [dir("lib"), wh("lib/.wh..wh..opq"), file("lib/b")],
    ],
    gives: { "usr/": "750", "usr/lib/": "750", "usr/lib/a": "usr/lib/a", "lib/": "750", "lib/b": "lib/b" },
  },
  "parents without entries keep what the layer below said of them": {
    layers: [[dir("d", { mode: 0o700 })], [file("d/x"), file("new/y")]],
    gives: { "d/": "700", "d/x": "d/x", "new/": "755", "new/y": "new/y" },
  },
  "a file gives way to a directory that a path goes through": {
    layers: [[file("f")], [file("f/x")]],
    gives: { "f/": "755", "f/x": "f/x" },
  },
  "hard links reach into the layers below; what replaces one name leaves the others": {
    layers: [[file("a", "one")], [hard("b", "a"), hard("c", "b")], [file("a", "two")]],
    gives: { b: "one x2", c: "one x2", a: "two" },
  },
  "a hard link to a link, and to itself": {
    layers: [[link("l", "nowhere"), hard("m", "l"), file("s"), hard("s", "s")]],
    gives: { l: "-> nowhere", m: "-> nowhere", s: "s" },
  },
  "the last of entries with the same name counts": {
    layers: [[file("a", "1"), file("./a", "2"), file("/a", "3")]],
    gives: { a: "3" },
  },
  "leftovers of storage drivers are dropped": {
    layers: [
      [dir(".wh..wh.plnk"), file(".wh..wh.plnk/1.2"), file(".wh..wh.aufs"), file("d/.wh..wh.orph/x"), file("x")],
    ],
    gives: { x: "x" },
  },
  "a character device 0:0 is one": {
    layers: [[file("a")], [{ path: "a", type: "3", major: 0, minor: 0 }]],
    gives: { a: "character" },
  },
  "names that lead upwards stay inside": {
    layers: [[file("../../a"), file("x/../b"), hard("../c", "../../a")]],
    gives: { a: "?", b: "?", c: "?" },
  },
};

describe("layers", () => {
  for (const [name, { layers, gives }] of Object.entries(cases)) {
    test(name, async () => {
      const found = await applied(...layers);
      if (name.includes("upwards")) assert.deepEqual(Object.keys(found).toSorted(), Object.keys(gives).toSorted());
      else assert.deepEqual(found, gives);
    });
  }

  const refused: [string, TestEntry[], RegExp][] = [
    ["whiteouts of nothing", [wh("d/.wh.")], /"d\/\.wh\.".*whiteout of nothing/],
    ["whiteouts of the directory", [wh(".wh..")], /whiteout of nothing/],
    ["whiteouts of the parent", [wh("a/.wh...")], /whiteout of nothing/],
    ["files below a whiteout", [file(".wh.a/b")], /name is that of a whiteout/],
    ["a root that is no directory", [link(".", "/tmp")], /no directory/],
    ["links in a circle", [link("a", "b"), link("b", "a"), file("a/x")], /"a\/x".*too many symbolic links/],
    ["hard links to directories", [dir("d"), hard("h", "d")], /"h".*hard link to "d"/],
    ["hard links to what comes later", [hard("h", "f"), file("f")], /no "f" before it/],
    ["zero bytes in names", [{ path: "x", pax: { path: "a\0b" } }], /zero byte/],
    ["trees that are too deep", [{ path: "x", pax: { path: "d/".repeat(1100) } }], /deeper than 1024/],
    ["impossible devices", [{ path: "dev", type: "3", major: 4096, minor: 0 }], /impossible numbers/],
  ];
  for (const [name, entries, message] of refused) {
    test(`refuse ${name}, and say where`, async () => {
      const layers = [layer([file("below")]), layer(entries, "second")];
      const thrown: unknown = await rootfsFromLayers(layers, join(directory, `${name}.ext4`), quiet()).then(
        () => assert.fail("was accepted"),
        (error: unknown) => error,
      );
      assert.ok(thrown instanceof BangerError);
      assert.equal(thrown.code, "image.invalid");
      assert.match(thrown.message, /^layer "second", entry "/);
      assert.match(thrown.message, message);
    });
  }
});

const quiet = () => quietProgress(new AbortController().signal);
const tarType = "application/vnd.oci.image.layer.v1.tar";

function layer(entries: TestEntry[], label = "first") {
  const bytes = archive(entries);
  return { label, diffId: undefined, mediaType: tarType, open: async () => Readable.from([bytes]) };
}

describe("an image from layers", () => {
  test("is refused when a layer is not what its config says", async () => {
    const wrong = { ...layer([file("a")]), diffId: `sha256:${"0".repeat(64)}` };
    await assert.rejects(rootfsFromLayers([wrong], join(directory, "wrong.ext4"), quiet()), {
      code: "image.invalid",
      message:
        /^layer "first" is not usable: its content has the digest sha256:[0-9a-f]{64}, and sha256:0+ was expected/,
    });
    const unknown = { ...layer([file("a")]), diffId: "md5:00" };
    await assert.rejects(rootfsFromLayers([unknown], join(directory, "md5.ext4"), quiet()), /unknown kind/);
    const type = { ...layer([file("a")]), mediaType: "application/json" };
    await assert.rejects(
      rootfsFromLayers([type], join(directory, "type.ext4"), quiet()),
      /unknown type "application\/json"/,
    );
    const many = Array.from({ length: 513 }, () => layer([]));
    await assert.rejects(rootfsFromLayers(many, join(directory, "many.ext4"), quiet()), /513 layers/);
  });

  test("passes on what a source throws, and a cancel", async () => {
    const failed = new Error("the source is gone");
    const broken = { ...layer([]), open: () => Promise.reject(failed) };
    await assert.rejects(rootfsFromLayers([broken], join(directory, "broken.ext4"), quiet()), failed);
    const abort = new AbortController();
    const silent = new Readable({ read() {} });
    const hanging = { ...layer([]), open: async () => (setImmediate(() => abort.abort(new Error("enough"))), silent) };
    await assert.rejects(
      rootfsFromLayers([hanging], join(directory, "hanging.ext4"), quietProgress(abort.signal)),
      /enough/,
    );
    assert.ok(silent.destroyed);
  });

  test("bombs end early, and say in which layer", async () => {
    const zeros = archive([file("zeros", "\0".repeat(3_000_000))]);
    const huge = { path: "huge", pax: { "GNU.sparse.map": "", "GNU.sparse.size": String(2 ** 50) } };
    const bombs: [TestEntry[] | Buffer, Partial<RootfsLimits>, RegExp][] = [
      [gzipSync(zeros), { maxUnpackedBytes: 1_000_000 }, /unpacks to more than 1000000 bytes/],
      [zstdCompressSync(zeros), { maxUnpackedBytes: 1_000_000 }, /unpacks to more than 1000000 bytes/],
      [zeros, { maxContentBytes: 1_000_000 }, /entry "zeros".*larger than 1000000 bytes together/],
      [[huge], {}, /entry "huge".*larger than 1099511627776 bytes/],
      [Array.from({ length: 60 }, (_, index) => file(`f${index}`)), { maxEntries: 50 }, /more than 50 entries/],
      [[file("a/b/c/d/e")], { maxEntries: 4 }, /more than 4 entries/],
      [
        [{ path: "x", pax: { path: "n".repeat(200), linkpath: "l".repeat(900) } }],
        { maxMetadataBytes: 1000 },
        /names and/,
      ],
    ];
    for (const [index, [content, limits, message]] of bombs.entries()) {
      const bytes = Buffer.isBuffer(content) ? content : archive([...content, file("last")]);
      const bomb = { ...layer([], "bomb"), open: async () => Readable.from([bytes]) };
      await assert.rejects(
        rootfsFromLayers([layer([]), bomb], join(directory, `bomb-${index}`), quiet(), { ...defaultLimits, ...limits }),
        (error: BangerError) => {
          assert.equal(error.code, "image.invalid");
          assert.match(error.message, /^layer "bomb"/);
          assert.match(error.message, message);
          return true;
        },
      );
    }
  });

  test("is the same however its layers are compressed: byte for byte", async () => {
    const below = archive([dir("d"), file("d/x"), file("a")]);
    const above = [file("b"), wh(".wh.a"), wh("d/.wh.x")];
    const digests = new Set<string>();
    const pack = [
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => gzipSync(bytes),
      (bytes: Buffer) => zstdCompressSync(bytes),
    ];
    for (const [index, packed] of pack.entries()) {
      const target = join(directory, `same-${index}`);
      const streams = [below, archive(above)].map((bytes) => ({
        ...layer([]),
        open: async () => Readable.from([packed(bytes)]),
      }));
      await rootfsFromLayers(streams, target, quiet());
      assertSound(target);
      digests.add(createHash("sha256").update(readFileSync(target)).digest("hex"));
    }
    assert.equal(digests.size, 1);
  });

  test("of no layers and of empty ones is an empty root", async () => {
    const target = join(directory, "empty.ext4");
    await rootfsFromLayers([layer([])], target, quiet(), defaultLimits);
    assertSound(target);
  });
});
