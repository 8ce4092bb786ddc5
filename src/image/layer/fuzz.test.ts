// Random and damaged input: it ends in an error that says what is wrong, or in an image that is sound and holds what the tree
// held. Once more with BANGER_FUZZ_SEED=<number>, longer with BANGER_FUZZ_ROUNDS=<number>.
import assert from "node:assert/strict";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Ext4Writer } from "../ext4/writer.ts";
import { ByteReader } from "../tar/byte-reader.ts";
import { decompress } from "../tar/decompress.ts";
import { TarError } from "../tar/header.ts";
import { readTar } from "../tar/reader.ts";
import { archive, everything } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { assertSound, debugfs } from "../testdata/ext4.ts";
import type { DirectoryNode, TreeNode } from "../tree.ts";
import { LayerTree } from "./layer-tree.ts";

const seed = Number(process.env["BANGER_FUZZ_SEED"] ?? Date.now() % 1_000_000);
const rounds = Number(process.env["BANGER_FUZZ_ROUNDS"] ?? 1);
const directory = mkdtempSync(join(tmpdir(), "banger-fuzz-"));
after(() => rmSync(directory, { recursive: true }));

/** Numbers that follow from the seed (mulberry32). */
function randomFrom(start: number): (below: number) => number {
  let state = start >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  };
}

type Random = ReturnType<typeof randomFrom>;
const pick = <T>(random: Random, items: readonly T[]): T => items[random(items.length)] as T;

function eachRound(count: number, round: (random: Random, number: number) => Promise<void>): () => Promise<void> {
  return async () => {
    for (let number = 0; number < count * rounds; number++) {
      try {
        await round(randomFrom(seed + number), number);
      } catch (error) {
        throw new Error(`round ${number} of BANGER_FUZZ_SEED=${seed} failed`, { cause: error });
      }
    }
  };
}

const names = ["a", "b", "c", "lib", "usr", "x\ny", "\xff\xfe", "n".repeat(255)];

function randomEntry(random: Random): TestEntry {
  const parts = Array.from({ length: 1 + random(4) }, () => pick(random, random(15) === 0 ? ["..", ".", ""] : names));
  const special = random(12);
  const last = parts.pop() ?? "a";
  if (special === 0) parts.push(".wh..wh..opq");
  else if (special === 1) parts.push(`.wh.${last.slice(0, 200)}`);
  else parts.push(last);
  const path = parts.join("/");
  const target = Array.from({ length: 1 + random(3) }, () => pick(random, [...names, ".."])).join("/");
  const type = pick(random, ["0", "0", "0", "5", "5", "2", "1", "6", "3"] as const);
  const data =
    type === "0"
      ? Buffer.alloc(random(3) === 0 ? random(300_000) : random(5000), random(4) === 0 ? 0 : random(256))
      : "";
  const pax: Record<string, string> = { path, linkpath: random(4) === 0 ? `/${target}` : target };
  if (random(5) === 0) pax["SCHILY.xattr.user.x"] = "v".repeat(random(400));
  if (random(5) === 0) pax["mtime"] = `${random(2) === 0 ? "-" : ""}${random(2 ** 31)}.${random(1e9)}`;
  return {
    path: "x",
    type,
    data,
    mode: random(0o10000),
    uid: random(2 ** 17),
    major: random(300),
    minor: random(300),
    pax,
  };
}

/** Applies layers of random entries; those that are refused are left out. Contents go to `store`. */
async function randomTree(
  random: Random,
  store: (pieces: Buffer[]) => readonly { logical: number; physical: number; blocks: number }[],
) {
  const tree = new LayerTree({ whiteouts: true, upwards: "clamp", maxDepth: 60 }, () => {});
  for (let layer = 0; layer < 3; layer++) {
    tree.beginLayer();
    const bytes = archive(Array.from({ length: 60 }, () => randomEntry(random)));
    for await (const entry of readTar(new ByteReader(Readable.from([bytes])))) {
      const pieces: Buffer[] = [];
      await entry.read({ write: (piece) => pieces.push(Buffer.from(piece)), skip: () => assert.fail("no holes here") });
      try {
        await tree.apply(entry, async () => store(pieces));
      } catch (error) {
        if (!(error instanceof TarError)) throw error;
      }
    }
  }
  return tree.root;
}

/** Counts the names of every file, and looks for directories that are in two places. */
function checkTree(root: DirectoryNode): void {
  const seen = new Map<TreeNode, number>();
  const walk = (node: DirectoryNode) => {
    for (const [name, child] of node.children) {
      assert.ok(!name.startsWith(".wh.") && !name.includes("/") && name !== "." && name !== "..", name);
      seen.set(child, (seen.get(child) ?? 0) + 1);
      if (child.type === "directory") {
        assert.equal(seen.get(child), 1);
        walk(child);
      }
    }
  };
  walk(root);
  for (const [node, count] of seen) if (node.type !== "directory") assert.equal(node.links, count);
}

/** What a tree holds, by path; `contentOf` gives the bytes of a file. */
function listTree(root: DirectoryNode, contentOf: (node: TreeNode) => Buffer): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (node: DirectoryNode, prefix: string) => {
    for (const [name, child] of node.children) {
      const path = `${prefix}/${name}`;
      if (child.type === "directory") walk(child, path);
      if (child.type === "file") found.set(path, contentOf(child).toString("base64"));
      else if (child.type === "directory") found.set(path, "directory");
      else if (child.type === "symlink") found.set(path, `-> ${child.target}`);
    }
  };
  walk(root, "");
  return found;
}

function listDirectory(at: Buffer, prefix = "", found = new Map<string, string>()): Map<string, string> {
  for (const name of readdirSync(at, { encoding: "buffer" })) {
    const path = `${prefix}/${name.toString("latin1")}`;
    const full = Buffer.concat([at, Buffer.from("/"), name]);
    const info = lstatSync(full);
    if (info.isDirectory()) {
      found.set(path, "directory");
      listDirectory(full, path, found);
    } else if (info.isSymbolicLink())
      found.set(path, `-> ${readlinkSync(full, { encoding: "buffer" }).toString("latin1")}`);
    else if (info.isFile()) found.set(path, readFileSync(full).toString("base64"));
  }
  return found;
}

describe(`fuzzing with BANGER_FUZZ_SEED=${seed}`, () => {
  test(
    "damaged archives, also compressed",
    eachRound(150, async (random) => {
      const tar = archive(everything.slice(0, 22));
      const plain = Buffer.from(random(2) === 0 ? tar : tar.subarray(0, random(tar.length)));
      for (let change = random(6); change >= 0; change--) {
        const at = random(plain.length + 1);
        plain.fill(random(256), at, Math.min(plain.length, at + 1 + random(8)));
      }
      const packed = pick(random, [(bytes: Buffer) => bytes, gzipSync, zstdCompressSync])(plain);
      const twice = random(4) === 0 ? Buffer.concat([packed, packed]) : Buffer.from(packed);
      if (random(2) === 0) {
        const at = random(twice.length + 1);
        twice.fill(random(256), at, Math.min(twice.length, at + random(60)));
      }
      const pieces: Buffer[] = [];
      for (let at = 0; at < twice.length;) {
        const length = 1 + random(3000);
        pieces.push(twice.subarray(at, at + length));
        at += length;
      }
      const signal = new AbortController().signal;
      const source = Readable.from(pieces);
      source.on("error", () => {});
      try {
        const reader = new ByteReader(decompress(source, { allowXz: false, signal }));
        for await (const entry of readTar(reader)) await entry.read({ write() {}, skip() {} });
        await reader.finish();
      } catch (error) {
        const code = String((error as NodeJS.ErrnoException).code);
        if (!(error instanceof TarError) && !/^Z_|^ZSTD_/.test(code)) throw error;
      }
    }),
  );

  test(
    "layers of random entries",
    eachRound(60, async (random) => checkTree(await randomTree(random, () => []))),
  );

  test(
    "images of random trees are sound and hold what the trees held",
    eachRound(6, async (random, number) => {
      const image = join(directory, `${number}.ext4`);
      const descriptor = openSync(image, "wx+");
      const contents = new Map<unknown, Buffer>();
      try {
        const writer = new Ext4Writer(descriptor);
        const root = await randomTree(random, (pieces) => {
          for (const piece of pieces) writer.data.write(piece);
          const extents = writer.data.end();
          contents.set(extents, Buffer.concat(pieces));
          return extents;
        });
        writer.finish(root, Buffer.alloc(16, 1 + random(255)));
        assertSound(image);
        const out = join(directory, `out-${number}`);
        mkdirSync(out);
        debugfs(image, `rdump / ${out}`);
        const wanted = listTree(
          root,
          (node) => (node.type === "file" ? contents.get(node.extents) : undefined) ?? Buffer.alloc(0),
        );
        assert.deepEqual(listDirectory(Buffer.from(out)), wanted);
        rmSync(out, { recursive: true });
      } finally {
        closeSync(descriptor);
        rmSync(image);
      }
    }),
  );
});
