// Disk files that get larger: whole ones and layers, with QEMU's own tools as the judge.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { mib } from "../lib/units.ts";
import { virtualSize } from "./chain.ts";
import { flattenChain } from "./flatten.ts";
import { growDisk } from "./grow.ts";
import { createLayer } from "./layer.ts";

const { signal } = new AbortController();
let directory: string;
beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "banger-grow-"))));
afterEach(() => rmSync(directory, { recursive: true }));
const at = (name: string) => join(directory, name);

function whole(name: string, sizeMib: number): string {
  writeFileSync(at(name), "content");
  truncateSync(at(name), sizeMib * mib);
  return at(name);
}

async function firstBytes(path: string, count: number): Promise<string> {
  await using file = await open(path);
  return (await file.read(Buffer.alloc(count), 0, count, 0)).buffer.toString();
}

test("a whole disk grows without taking room, and never gets smaller", async () => {
  const path = whole("work.ext4", 64);
  assert.equal(await growDisk(path, "raw", 16_384 * mib, { signal }), 16_384 * mib);
  assert.equal(await growDisk(path, "raw", 64 * mib, { signal }), 16_384 * mib);
  const { size, blocks } = statSync(path);
  assert.equal(size, 16_384 * mib);
  assert.ok(blocks * 512 < mib);
  assert.equal(await firstBytes(path, 7), "content");
});

test("a layer grows past what its tables held, the frozen disk below stays, and the rest reads as zeroes", async () => {
  const below = whole("frozen.ext4", 64);
  const top = at("top.qcow2");
  await createLayer(top, { sizeBytes: 64 * mib, backing: { path: below, format: "raw" } }, { signal });
  assert.equal(await growDisk(top, "qcow2", 4096 * mib, { signal }), 4096 * mib);
  assert.equal(await growDisk(top, "qcow2", 64 * mib, { signal }), 4096 * mib);
  assert.equal(await virtualSize(top, "qcow2"), 4096 * mib);
  assert.equal(statSync(below).size, 64 * mib);
  execFileSync("qemu-img", ["check", "-q", top]);
  // Layers above it, and a merge, have the new size.
  const next = at("next.qcow2");
  await createLayer(next, { sizeBytes: 4096 * mib, backing: { path: top, format: "qcow2" } }, { signal });
  await flattenChain(next, "qcow2", at("flat.ext4"), { signal });
  assert.equal(statSync(at("flat.ext4")).size, 4096 * mib);
  execFileSync("cmp", ["-n", String(64 * mib), at("flat.ext4"), below]);
});

test("garbage, a missing file and a size that the host cannot have are told", async () => {
  writeFileSync(at("garbage.qcow2"), "x".repeat(1000));
  await assert.rejects(growDisk(at("garbage.qcow2"), "qcow2", mib, { signal }), { code: "snapshot.failed" });
  await assert.rejects(growDisk(at("none"), "raw", mib, { signal }), { code: "snapshot.failed" });
  const path = whole("work.ext4", 64);
  await assert.rejects(growDisk(path, "raw", 2 ** 52, { signal }), { code: "snapshot.failed" });
  assert.equal(statSync(path).size, 64 * mib);
});

test("what was cancelled changes nothing", async () => {
  const path = whole("work.ext4", 64);
  const reason = new Error("enough");
  await assert.rejects(growDisk(path, "raw", 128 * mib, { signal: AbortSignal.abort(reason) }), reason);
  assert.equal(statSync(path).size, 64 * mib);
});
