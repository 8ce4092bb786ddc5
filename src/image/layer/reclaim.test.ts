// Blocks of files that are replaced or deleted are used again: nothing is lost by that, and the image does not grow.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { quietProgress } from "../../lib/progress.ts";
import { fuzz, pick, randomFrom } from "../../lib/testdata/fuzz.ts";
import { rootfsFromLayers } from "../rootfs.ts";
import { archive } from "../testdata/archive.ts";
import type { TestEntry } from "../testdata/archive.ts";
import { assertSound, debugfs } from "../testdata/ext4.ts";

const directory = mkdtempSync(join(tmpdir(), "banger-reclaim-"));
after(() => rmSync(directory, { recursive: true }));
const mib = 1024 ** 2;
let number = 0;

async function build(layers: readonly Buffer[]) {
  const image = join(directory, `${number++}.ext4`);
  const sources = layers.map((bytes, index) => {
    const path = `${image}.${index}`;
    writeFileSync(path, bytes);
    const mediaType = "application/vnd.oci.image.layer.v1.tar";
    return { diffId: undefined, mediaType, label: `${index}`, path, open: () => Promise.reject(new Error("unused")) };
  });
  const rootfs = await rootfsFromLayers(sources, image, quietProgress(new AbortController().signal));
  assertSound(image);
  return { ...rootfs, image };
}

/** No two blocks are alike, and some are zeros. */
function contentOf(bytes: number, seed: number): string {
  const random = randomFrom(seed);
  const data = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at += 64) {
    if (at % 65_536 === 0 && random(4) === 0) at += 65_536;
    if (at < bytes) data.write(`${seed} ${at};`, at);
  }
  return data.toString("latin1");
}

function contentIn(image: string, path: string): string {
  const file = join(directory, "content");
  rmSync(file, { force: true });
  debugfs(image, `dump "${path}" ${file}`);
  return readFileSync(file, "latin1");
}

test("a layer that writes all files again makes the image no larger", async () => {
  const files = (mode: number): TestEntry[] =>
    [3, 17, 1, 40, 8].flatMap((size, index) => [
      { path: `large-${index}`, data: contentOf((size * mib) / 20 + 5, size).replaceAll("\0", "x"), mode },
      ...Array.from({ length: 20 }, (_, at) => ({
        path: `small-${index}-${at}`,
        data: contentOf(3000 + at * 500, at),
        mode,
      })),
    ]);
  const below = archive(files(0o644));
  const once = await build([below]);
  const again = await build([below, archive(files(0o600))]);
  assert.equal(again.sizeBytes, once.sizeBytes);
  assert.equal(contentIn(again.image, "/large-3"), files(0)[3 * 21]?.data);
});

test("what a layer deletes makes room for files of other sizes", async () => {
  const many = Array.from({ length: 200 }, (_, at) => ({ path: `old/${at}`, data: "o".repeat(50_000 + at) }));
  const large = { path: "new", data: contentOf(9 * mib, 9).replaceAll("\0", "x") };
  const below = archive([...many, { path: "kept", data: "k".repeat(10 * mib) }]);
  const { sizeBytes, image } = await build([below, archive([{ path: ".wh.old", data: "" }, large])]);
  assert.ok(sizeBytes < 21.5 * mib, `${sizeBytes}`);
  assert.equal(contentIn(image, "/new"), large.data);
});

test("a link keeps the data of a file whose other name becomes a directory", async () => {
  const data = contentOf(100_000, 3);
  const layer = [
    { path: "a", data },
    { path: "a/b", type: "1", link: "a" },
    { path: "c", data: contentOf(100_000, 4) },
  ] as const;
  const { image } = await build([archive(layer)]);
  assert.equal(contentIn(image, "/a/b"), data);
  assert.equal(contentIn(image, "/c"), layer[2].data);
});

fuzz("files that come and go", 2, async (random, seed) => {
  const expected = new Map<string, string>();
  const names = Array.from({ length: 25 }, (_, at) => `f${at}`);
  const plain: Buffer[] = [];
  for (let layer = 0; layer < 4; layer++) {
    const below = new Set(expected.keys());
    const entries: TestEntry[] = [];
    for (let at = 0; at < 25; at++) {
      const path = pick(random, names);
      const choice = random(6);
      const target = pick(random, [...expected.keys(), ""]);
      if (choice === 0 && below.delete(path)) {
        expected.delete(path);
        entries.push({ path: `.wh.${path}`, data: "" });
      } else if (choice === 1 && target !== "" && target !== path) {
        expected.set(path, expected.get(target) ?? "");
        entries.push({ path, type: "1", link: target });
        below.delete(path);
      } else {
        const data = contentOf(random(random(9) === 0 ? 1.5 * mib : 40_000), seed + layer * 100 + at);
        expected.set(path, data);
        entries.push({ path, data });
        below.delete(path);
      }
    }
    plain.push(archive(entries));
  }
  const built = await build(plain);
  const out = mkdtempSync(join(directory, "out-"));
  debugfs(built.image, `rdump / ${out}`);
  assert.deepEqual(readdirSync(out).toSorted(), [...expected.keys()].toSorted());
  for (const [path, data] of expected) assert.ok(readFileSync(join(out, path), "latin1") === data, path);
  const digest = (image: string) => createHash("sha256").update(readFileSync(image)).digest("hex");
  const compressed = plain.map((bytes, index) =>
    index % 2 === 0 ? gzipSync(bytes, { level: 1 }) : zstdCompressSync(bytes),
  );
  assert.equal(digest((await build(compressed)).image), digest(built.image));
});
