// Image layouts, archives of them and of docker: found out what they are, read in any order, and never left.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { quietProgress } from "../../lib/progress.ts";
import { archive } from "../testdata/archive.ts";
import { digestOf } from "./digest.ts";
import { openImage } from "./open-image.ts";
import { hostPlatform } from "./platform.ts";
import { resolveImage } from "./resolve-image.ts";
import { json, makeImage, writeLayoutFiles } from "./testdata/layout.ts";
import { readBlob } from "./verify.ts";

const progress = quietProgress(new AbortController().signal);
const { signal } = progress;
const image = makeImage([[{ path: "a", data: "one" }], [{ path: "b", data: "two" }]], { config: { Cmd: ["x"] } });
const other = makeImage([[{ path: "c", data: "three" }]]);
let root: string;
let layout: string;
let staging: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-open-image-"));
  layout = join(root, "layout");
  staging = join(root, "staging");
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

const open = (path: string) => openImage(path, { stagingRoot: staging, maxBytes: 1e9 }, progress);
const tar = (path: string, ...options: string[]) => {
  const made = spawnSync("tar", ["-C", layout, ...options, "-cf", path, ...readdirSync(layout)]);
  assert.equal(made.status, 0, String(made.stderr));
  return path;
};
/** Manifest digest, command and size of all layers of an image in a file. */
async function read(path: string, reference = "") {
  await using file = await open(path);
  assert.ok(file !== undefined);
  const found = await resolveImage(file.source, reference, { shown: "x", signal });
  let bytes = 0;
  for (const layer of found.manifest.layers) {
    bytes += (await readBlob(file.source, layer, { label: "layer", signal })).length;
  }
  return { digest: found.raw.digest, command: found.config.command, bytes, names: file.names };
}
const layerBytes = image.layers.reduce((sum, layer) => sum + layer.length, 0);

test("a layout as a directory, a tar, and a compressed tar", async () => {
  writeLayoutFiles(layout, [{ image, name: "1.0" }]);
  const expected = { digest: image.digest, command: ["x"], bytes: layerBytes, names: ["1.0"] };
  assert.deepEqual(await read(layout), expected);
  assert.deepEqual(await read(tar(join(root, "plain.tar"))), expected);
  assert.deepEqual(await read(tar(join(root, "x.tar.gz"), "-z")), expected);
  assert.deepEqual(await read(tar(join(root, "pax.tar"), "--format=pax")), expected);
  assert.deepEqual(readdirSync(staging), [], "what was decompressed is gone");
});

test("several images: by name or digest, never one at random", async () => {
  writeLayoutFiles(layout, [
    { image, name: "one" },
    { image: other, name: "two" },
  ]);
  await assert.rejects(read(layout), { code: "image.ambiguous", message: /one, two/ });
  assert.equal((await read(layout, "two")).digest, other.digest);
  assert.equal((await read(layout, image.digest)).digest, image.digest);
  await assert.rejects(read(layout, "three"), { code: "image.not-found", message: /one, two/ });
});

test("several platforms at the top of a layout are one image", async () => {
  const { architecture } = hostPlatform();
  writeLayoutFiles(layout, [
    { image: other, name: "", platform: { os: "linux", architecture: "s390x" } },
    { image, name: "", platform: { os: "linux", architecture } },
  ]);
  assert.equal((await read(layout)).digest, image.digest);
});

/** The form of docker before version 25, and of podman. */
function dockerFiles(layers: readonly Buffer[], config: Buffer): { path: string; data: Buffer | string }[] {
  const manifest = [{ Config: "c.json", RepoTags: ["app:1"], Layers: layers.map((_, index) => `${index}/layer.tar`) }];
  return [
    { path: `${"0".repeat(64)}/VERSION`, data: "1.0" },
    ...layers.map((data, index) => ({ path: `${index}/layer.tar`, data })),
    { path: "c.json", data: config },
    { path: "manifest.json", data: json(manifest) },
  ];
}

test("an archive of docker: plain and compressed layers, its tag", async () => {
  const plain = makeImage([[{ path: "a", data: "one" }]], { plain: true, config: { Cmd: ["x"] } });
  const path = join(root, "docker.tar");
  writeFileSync(path, archive(dockerFiles(plain.layers, plain.config)));
  const found = await read(path);
  assert.deepEqual([found.command, found.names, found.bytes], [["x"], ["app:1"], plain.layers[0]?.length]);
  assert.equal((await read(path, "app:1")).digest, found.digest);
  const compressed = plain.layers.map((layer) => gzipSync(layer));
  writeFileSync(path, archive(dockerFiles(compressed, plain.config)));
  assert.equal((await read(path)).bytes, compressed[0]?.length);
  writeFileSync(path, archive(dockerFiles([], plain.config)));
  await assert.rejects(read(path), { code: "image.invalid", message: /1 layers, "manifest.json" of 0/ });
  writeFileSync(path, archive(dockerFiles([Buffer.from("not the layer")], plain.config)));
  await assert.rejects(read(path), { code: "image.invalid", message: /digest/ });
});

test("what is no archive of images is left to the import of file systems", async () => {
  const path = join(root, "rootfs.tar");
  writeFileSync(path, archive([{ path: "bin", data: "x" }]));
  assert.equal(await open(path), undefined);
  writeFileSync(path, gzipSync(archive([{ path: "manifest.txt", data: "x" }])));
  assert.equal(await open(path), undefined);
  writeFileSync(path, "");
  assert.equal(await open(path), undefined);
  writeFileSync(path, "hello");
  assert.equal(await open(path), undefined);
  await assert.rejects(open(join(root, "nothing")), { code: "file.not-found" });
  await assert.rejects(open(root), { code: "image.invalid", message: /no image layout/ });
});

test("a name never leads out of a layout", async () => {
  writeLayoutFiles(layout, [{ image, name: "1" }]);
  const blob = join(layout, "blobs", image.digest.replace(":", "/"));
  renameSync(blob, join(root, "outside"));
  symlinkSync("../../../outside", blob);
  await assert.rejects(read(layout), { code: "image.invalid", message: /place outside/ });
  rmSync(blob);
  symlinkSync("/dev/zero", blob);
  await assert.rejects(read(layout), { code: "image.invalid", message: /place outside/ });
  rmSync(blob);
  assert.equal(spawnSync("mkfifo", [blob]).status, 0);
  await assert.rejects(read(layout), { code: "image.invalid", message: /not a regular file/ });
  rmSync(blob);
  await assert.rejects(read(layout), { code: "image.not-found" });
});

test("links in an archive go round at most a few times", async () => {
  const path = join(root, "loop.tar");
  writeFileSync(
    path,
    archive([
      { path: "manifest.json", data: json([{ Config: "a", Layers: [] }]) },
      { path: "a", type: "2", link: "b" },
      { path: "b", type: "2", link: "../../a" },
    ]),
  );
  await assert.rejects(read(path), { message: /leads nowhere|no file/ });
});

test("a blob that is not what its descriptor says", async () => {
  writeLayoutFiles(layout, [{ image, name: "1" }]);
  const [layer = Buffer.alloc(0)] = image.layers;
  const file = join(layout, "blobs", digestOf(layer).replace(":", "/"));
  const damaged = Buffer.from(layer);
  damaged[20] = (damaged[20] ?? 0) ^ 1;
  for (const [content, message] of [
    [damaged, /damaged/],
    [layer.subarray(1), /cut short|damaged/],
    [Buffer.concat([layer, layer]), /longer/],
    [Buffer.alloc(0), /cut short/],
  ] as const) {
    writeFileSync(file, content);
    await assert.rejects(read(layout), { code: "image.invalid", message });
  }
});
