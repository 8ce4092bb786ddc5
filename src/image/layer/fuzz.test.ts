// Random layers give what a simple model of layers gives, and random trees become images that are sound and hold what the trees held.
import assert from "node:assert/strict";
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after } from "node:test";
import { fuzz, pick } from "../../lib/testdata/fuzz.ts";
import type { Random } from "../../lib/testdata/fuzz.ts";
import { Ext4Writer } from "../ext4/writer.ts";
import { ByteReader } from "../tar/byte-reader.ts";
import { TarError } from "../tar/header.ts";
import { readTar } from "../tar/reader.ts";
import { archive } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { assertSound, debugfs } from "../testdata/ext4.ts";
import { Impossible, LayerModel } from "../testdata/layer-model.ts";
import { listDirectory, listTree } from "../testdata/tree-list.ts";
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { LayerTree } from "./layer-tree.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-fuzz-"));
after(() => rmSync(directory, { recursive: true }));

const rules = { whiteouts: true, upwards: "clamp", maxDepth: 60 } as const;
const names = ["a", "b", "c", "lib", "usr"];

function randomPath(random: Random, depth: number): string {
  const parts = Array.from({ length: 1 + random(depth) }, () =>
    pick(random, random(15) === 0 ? ["..", ".", "", ".wh.a"] : names),
  );
  return parts.join("/");
}

/** Few names, so that entries meet each other. */
function randomEntry(random: Random, number: number): TestEntry {
  const parent = randomPath(random, 3);
  const name = pick(random, names);
  const special = random(10);
  const last =
    special === 0
      ? ".wh..wh..opq"
      : special === 1
        ? `.wh.${name}`
        : special === 2 && random(8) === 0
          ? pick(random, [".wh.", ".wh..", ".wh...", ".wh..wh.aufs"])
          : name;
  const path = random(3) === 0 ? last : `${parent}/${last}`;
  const type = pick(random, ["0", "0", "0", "5", "5", "2", "2", "1", "1", "6"] as const);
  const target = `${pick(random, ["", "/", "../", "../../"])}${randomPath(random, 2)}`;
  return { path, type, mode: random(0o1000), data: type === "0" ? `${number}` : "", link: target };
}

/** What the shipped code makes of entries, layer by layer, in the words of the model. */
async function applied(layers: readonly TestEntry[][]): Promise<Map<string, string>> {
  const tree = new LayerTree(rules, () => {});
  const contents = new Map<unknown, string>();
  for (const layer of layers) {
    tree.beginLayer();
    for await (const entry of readTar(new ByteReader(Readable.from([archive(layer)])))) {
      await tree.apply(entry, async () => {
        let text = "";
        await entry.read({ write: (piece) => (text += piece.toString()), skip() {} });
        const extents = [{ logical: 0, physical: 0, blocks: 1 }];
        contents.set(extents, text);
        return extents;
      });
    }
  }
  checkTree(tree.root);
  const paths: [string, TreeNode][] = [["", tree.root]];
  for (const [path, node] of paths) {
    if (node.type !== "directory") continue;
    for (const [name, child] of node.children) paths.push([`${path}/${name}`, child]);
  }
  const first = new Map<TreeNode, string>();
  const found = new Map<string, string>();
  for (const [path, node] of paths.toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    if (!first.has(node)) first.set(node, path);
    const same = ` = ${first.get(node)}`;
    if (node.type === "directory") found.set(path, `directory ${node.mode.toString(8)}`);
    else if (node.type === "file") found.set(path, `file ${contents.get(node.extents) ?? "?"}${same}`);
    else found.set(path, `${node.type === "symlink" ? `symlink ${node.target}` : "other 6"}${same}`);
  }
  return found;
}

/** Counts the names of every file, and looks for directories that are in two places. */
function checkTree(root: DirectoryNode): void {
  const seen = new Map<TreeNode, number>();
  const todo: TreeNode[] = [root];
  for (const node of todo) {
    if (node.type !== "directory") continue;
    for (const [name, child] of node.children) {
      assert.ok(!name.startsWith(".wh.") && !name.includes("/") && name !== "." && name !== "..", name);
      const count = (seen.get(child) ?? 0) + 1;
      seen.set(child, count);
      if (child.type === "directory") assert.equal(count, 1);
      if (count === 1) todo.push(child);
    }
  }
  for (const [node, count] of seen) if (node.type !== "directory") assert.equal(node.links, count);
}

fuzz("layers, as the model has them", 300, async (random) => {
  const model = new LayerModel();
  const layers: TestEntry[][] = [];
  let refused: TestEntry | undefined;
  for (let layer = 1 + random(4); layer > 0 && refused === undefined; layer--) {
    model.beginLayer();
    const entries: TestEntry[] = [];
    layers.push(entries);
    for (let number = random(14); number > 0; number--) {
      const entry = randomEntry(random, layer * 100 + number);
      try {
        model.apply(entry);
        entries.push(entry);
      } catch (error) {
        if (!(error instanceof Impossible)) throw error;
        if (random(4) === 0) refused = entry;
      }
      if (refused !== undefined) break;
    }
  }
  const shown = layers.map((entries) => entries.map(({ path, type, link }) => `${type} ${path} ${link}`));
  assert.deepEqual(await applied(layers), model.list(), JSON.stringify(shown));
  if (refused === undefined) return;
  layers.at(-1)?.push(refused);
  await assert.rejects(applied(layers), TarError, JSON.stringify([shown, refused]));
});

const oddNames = [...names, "x\ny", "\xff\xfe", "n".repeat(255), "back\\slash", " ", "\u001b[31m"];

function oddEntry(random: Random): TestEntry {
  const parts = Array.from({ length: 1 + random(4) }, () => pick(random, oddNames));
  const target = Array.from({ length: 1 + random(3) }, () => pick(random, [...oddNames, ".."])).join("/");
  const type = pick(random, ["0", "0", "0", "5", "5", "2", "1", "6", "3"] as const);
  const data = Buffer.alloc(random(3) === 0 ? random(300_000) : random(5000), random(4) === 0 ? 0 : random(256));
  const pax: Record<string, string> = {
    path: Buffer.from(parts.join("/"), "latin1").toString("latin1"),
    linkpath: random(4) === 0 ? `/${target}` : target,
  };
  if (random(5) === 0) pax["SCHILY.xattr.user.x"] = "v".repeat(random(400));
  if (random(5) === 0) pax["mtime"] = `${random(2) === 0 ? "-" : ""}${random(2 ** 31)}.${random(1e9)}`;
  const numbers = { mode: random(0o10000), uid: random(2 ** 17), major: random(300), minor: random(300) };
  return { path: "x", type, data: type === "0" ? data : "", ...numbers, pax };
}

fuzz("images of random trees", 4, async (random, seed) => {
  const image = join(directory, `${seed}.ext4`);
  const out = join(directory, `out-${seed}`);
  const descriptor = openSync(image, "wx+");
  const contents = new Map<unknown, Buffer>();
  try {
    const writer = new Ext4Writer(descriptor);
    const tree = new LayerTree(rules, () => {});
    const entries = Array.from({ length: 20 + random(200) }, () => oddEntry(random));
    for await (const entry of readTar(new ByteReader(Readable.from([archive(entries)])))) {
      try {
        await tree.apply(entry, async () => {
          const pieces: Buffer[] = [];
          await entry.read({ write: (piece) => pieces.push(Buffer.from(piece)), skip: () => assert.fail("a hole") });
          for (const piece of pieces) writer.data.write(piece);
          const extents = writer.data.end();
          contents.set(extents, Buffer.concat(pieces));
          return extents;
        });
      } catch (error) {
        // What is refused is left out.
        if (!(error instanceof TarError)) throw error;
      }
    }
    writer.finish(tree.root, Buffer.alloc(16, 1 + random(255)));
    assertSound(image);
    mkdirSync(out);
    debugfs(image, `rdump / ${out}`);
    const contentOf = (node: TreeNode) => (node.type === "file" ? contents.get(node.extents) : undefined);
    assert.deepEqual(listDirectory(Buffer.from(out)), listTree(tree.root, contentOf));
  } finally {
    closeSync(descriptor);
    rmSync(image);
    rmSync(out, { recursive: true, force: true });
  }
});
