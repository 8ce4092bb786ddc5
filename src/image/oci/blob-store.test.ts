// The cache of blobs: shared downloads, resuming, leases, pruning, verifying, and what a killed process leaves.
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "../../lib/log.ts";
import { BlobFetches } from "./blob-fetch.ts";
import { BlobStore } from "./blob-store.ts";
import { digestOf } from "./digest.ts";
import type { Descriptor } from "../../lib/oci-content.ts";
import { contentOf } from "./testdata/blob-content.ts";
import { MemoryRepository } from "./testdata/layout.ts";

const { signal } = new AbortController();
const content = Buffer.from("0123456789".repeat(1000));
const descriptor = (data: Buffer): Descriptor => ({ mediaType: "m", digest: digestOf(data), sizeBytes: data.length });
const blob = descriptor(content);
let root: string;
let directory: string;
let store: BlobStore;
let fetches: BlobFetches;
let repository: MemoryRepository;
const path = (of: Descriptor) => join(directory, of.digest.replace(":", "/"));
const partial = (of: Descriptor) => join(directory, "partial", of.digest.replace(":", "-"));

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), "banger-blobs-"));
  directory = join(root, "blobs");
  store = await BlobStore.open(directory, silentLogger);
  fetches = new BlobFetches(store);
  repository = new MemoryRepository();
  repository.blobs.set(blob.digest, content);
});
afterEach(() => {
  rmSync(root, { recursive: true });
});
const get = (of: Descriptor = blob) => fetches.get(of, repository, "the blob", () => {});
/** A promise and what settles it. */
const gate = () => Promise.withResolvers<void>();

test("a blob is fetched once, by all who want it, and read while it arrives", async () => {
  const held = gate();
  repository.hold = () => held.promise;
  const grown = gate();
  using first = await fetches.get(blob, repository, "the blob", () => grown.resolve());
  using second = await get();
  const { fd, count } = await first.file();
  await grown.promise;
  const piece = Buffer.alloc(count.value);
  assert.equal(readSync(fd, piece, 0, piece.length, 0), content.length / 2);
  assert.deepEqual(piece, content.subarray(0, piece.length), "the first half is there before the second");
  assert.ok(!existsSync(path(blob)));
  const late = contentOf(second);
  held.resolve();
  await first.done;
  assert.deepEqual(await late, content);
  assert.deepEqual(readFileSync(path(blob)), content);
  assert.equal(existsSync(partial(blob)), false);
  using third = await get();
  assert.deepEqual(await contentOf(third), content);
  assert.equal(repository.opened.length, 1);
});

test("one who leaves does not stop the others; the last one out stops the download, and the next goes on with it", async () => {
  const arrived = gate();
  repository.hold = (_, aborted) =>
    new Promise((_resolve, reject) => {
      aborted.addEventListener("abort", () => reject(aborted.reason as Error));
    });
  const first = await fetches.get(blob, repository, "the blob", () => arrived.resolve());
  const second = await get();
  await arrived.promise;
  first[Symbol.dispose]();
  assert.equal(repository.opened.length, 1);
  second[Symbol.dispose]();
  await assert.rejects(second.done, { code: "cancelled" });
  assert.equal(readFileSync(partial(blob)).length, content.length / 2);
  repository.hold = async () => {};
  using third = await get();
  assert.deepEqual(await contentOf(third), content);
  assert.deepEqual(repository.opened[1], { digest: blob.digest, offset: content.length / 2 });
});

test("what an earlier download left and is not right is fetched anew, and never shown", async () => {
  for (const left of [Buffer.from("wrong"), Buffer.alloc(content.length), Buffer.alloc(content.length * 2)]) {
    mkdirSync(join(directory, "partial"), { recursive: true });
    writeFileSync(partial(blob), left);
    using handle = await get();
    const { fd, count } = await handle.file();
    repository.hold = async () => {
      const shown = Buffer.alloc(count.value);
      readSync(fd, shown, 0, shown.length, 0);
      assert.deepEqual(shown, content.subarray(0, shown.length));
    };
    assert.deepEqual(await contentOf(handle), content);
    await store.remove(blob.digest);
  }
});

test("wrong content, too much, too little: nothing is published", async () => {
  for (const [data, message] of [
    [Buffer.from(content.toString().replace("0", "1")), /damaged/],
    [Buffer.concat([content, Buffer.from("x")]), /longer than/],
    [content.subarray(1), /cut short/],
  ] as const) {
    repository.blobs.set(blob.digest, data);
    using handle = await get();
    await assert.rejects(contentOf(handle), { code: "image.invalid", message });
    await assert.rejects(handle.done);
    assert.ok(!existsSync(path(blob)));
    await store.remove(blob.digest);
  }
});

test("a blob that went bad on the disk is an error, and gone for the next", async () => {
  using first = await get();
  await first.done;
  writeFileSync(path(blob), content.toString().replace("5", "6"));
  using second = await get();
  await assert.rejects(contentOf(second), { code: "image.invalid" });
  using third = await get();
  assert.deepEqual(await contentOf(third), content);
});

test("an empty blob", async () => {
  const nothing = descriptor(Buffer.alloc(0));
  repository.blobs.set(nothing.digest, Buffer.alloc(0));
  using handle = await get(nothing);
  assert.equal((await contentOf(handle)).length, 0);
});

test("verify names and removes what is damaged", async () => {
  const others = ["a", "b"].map((text) => Buffer.from(text));
  for (const data of [content, ...others]) {
    repository.blobs.set(digestOf(data), data);
    using handle = await get(descriptor(data));
    await handle.done;
  }
  assert.deepEqual(await store.verify({ signal }), { blobs: 3, bytes: content.length + 2, bad: [] });
  writeFileSync(path(blob), "damaged");
  assert.deepEqual((await store.verify({ signal })).bad, [blob.digest]);
  assert.deepEqual(
    (await store.list()).map((entry) => entry.sizeBytes),
    [1, 1],
  );
});

test("prune: an empty or missing cache is zero; a dry run only counts", async () => {
  assert.deepEqual(await store.prune({ dryRun: false }), { blobs: 0, bytes: 0 });
  using handle = await get();
  await handle.done;
  assert.deepEqual(await store.prune({ dryRun: true }), { blobs: 1, bytes: content.length });
  assert.ok(existsSync(path(blob)));
  assert.deepEqual(await store.prune({ dryRun: false }), { blobs: 1, bytes: content.length });
  assert.deepEqual(readdirSync(root), ["blobs"]);
  assert.deepEqual(await store.list(), []);
});

test("prune leaves what is leased, also what is still arriving; who reads it succeeds", async () => {
  const kept = Buffer.from("kept");
  repository.blobs.set(digestOf(kept), kept);
  const old = Buffer.from("old");
  repository.blobs.set(digestOf(old), old);
  using lease = store.lease();
  lease.add(blob.digest);
  lease.add(digestOf(kept));
  for (const data of [kept, old]) {
    using handle = await get(descriptor(data));
    await handle.done;
  }
  const held = gate();
  const arrived = gate();
  repository.hold = async () => {
    arrived.resolve();
    await held.promise;
  };
  using handle = await get();
  const whole = contentOf(handle);
  await arrived.promise;
  assert.deepEqual(await store.prune({ dryRun: false }), { blobs: 1, bytes: 3 });
  held.resolve();
  assert.deepEqual(await whole, content);
  await handle.done;
  assert.deepEqual(readFileSync(path(blob)), content);
  assert.ok(existsSync(path(descriptor(kept))));
  lease[Symbol.dispose]();
  assert.equal((await store.prune({ dryRun: false })).blobs, 2);
});

test("what a prune that was killed left aside is removed at the next start, and nothing else", async () => {
  for (const name of ["blobs.pruned-0123456789ab/sha256", "blobs.new-0123456789ab/partial", "blobs.mine", "other"]) {
    mkdirSync(join(root, name), { recursive: true });
  }
  await BlobStore.open(directory, silentLogger);
  assert.deepEqual(readdirSync(root).toSorted(), ["blobs.mine", "other"]);
});

test("strange files in the cache are not blobs", async () => {
  mkdirSync(join(directory, "sha256"), { recursive: true });
  writeFileSync(join(directory, "sha256", "README"), "x");
  writeFileSync(join(directory, "sha256", "A".repeat(64)), "x");
  assert.deepEqual(await store.list(), []);
});
