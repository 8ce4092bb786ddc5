// Layers that the building thread reads from open files: while they grow, from a place within, and checked.
import assert from "node:assert/strict";
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { quietProgress } from "../../lib/progress.ts";
import { SharedCount } from "../../lib/shared-count.ts";
import { digestOf } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { rootfsFromLayers } from "../rootfs.ts";
import { archive } from "../testdata/archive.ts";
import { debugfs } from "../testdata/ext4.ts";
import { type BlobFile, wholeBlob } from "./blob-file.ts";

const tar = archive([
  { path: "name", data: "x".repeat(3_000_000) },
  { path: "last", data: "the last" },
]);
const packed = gzipSync(tar, { level: 0 });
const check = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf(packed), sizeBytes: packed.length };
let directory: string;
let file: FileHandle;
let closed: number;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-blob-file-"));
  file = await open(join(directory, "blob"), "wx+");
  closed = 0;
});
afterEach(async () => {
  await file.close();
  await rm(directory, { recursive: true });
});

const dispose = { [Symbol.asyncDispose]: async () => void closed++ };
const build = (blob: BlobFile, label = "layer 1") =>
  rootfsFromLayers(
    [{ label, diffId: digestOf(tar), mediaType: check.mediaType, open: async () => blob }],
    join(directory, "rootfs.ext4"),
    quietProgress(new AbortController().signal),
  );
const section = (offset = 0) => ({ fd: file.fd, offset, sizeBytes: packed.length, ...dispose });

test("a file that grows is read to its end, and closed by whoever opened it when it is not read any more", async () => {
  const count = new SharedCount();
  const { promise: done, resolve } = Promise.withResolvers<void>();
  const building = build({ ...section(), check: undefined, count, done, damaged: () => assert.fail("damaged") });
  const step = Math.ceil(packed.length / 7);
  for (let at = 0; at < packed.length; at += step) {
    const piece = packed.subarray(at, at + step);
    await file.write(piece, 0, piece.length, at);
    count.value = at + piece.length;
  }
  resolve();
  await building;
  assert.equal(debugfs(join(directory, "rootfs.ext4"), "cat /last"), "the last");
  assert.equal(closed, 1);
});

test("why nothing more comes is why there is no image", async () => {
  const failure = new Error("the line is dead");
  const count = new SharedCount();
  const done = Promise.reject(failure);
  done.catch(() => {});
  const building = build({ ...section(), check: undefined, count, done, damaged: () => assert.fail("damaged") });
  await assert.rejects(building, (error) => error === failure);
  assert.equal(closed, 1);
});

test("a whole one may lie within a file, and is checked by the thread that reads it", async () => {
  await file.write(packed, 0, packed.length, 5000);
  await build(wholeBlob(section(5000), check, () => assert.fail("damaged")));
  await rm(join(directory, "rootfs.ext4"));
  const cases: [Partial<typeof check>, RegExp][] = [
    [{ digest: digestOf(tar) }, /layer 1 is damaged: it has not the digest/],
    [{ sizeBytes: packed.length - 1 }, /layer 1 is longer than the/],
    [{ sizeBytes: packed.length + 1 }, /layer 1 is cut short/],
  ];
  for (const [wrong, message] of cases) {
    let damaged = 0;
    const blob = wholeBlob(section(5000), { ...check, ...wrong }, () => damaged++);
    await assert.rejects(build(blob), { code: "image.invalid", message });
    assert.equal(damaged, 1);
    await rm(join(directory, "rootfs.ext4"), { force: true });
  }
  assert.equal(closed, 4);
});
