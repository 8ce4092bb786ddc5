// Spare copies of memory files: taken by renaming, and only those that belong to the file that is mapped.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { spareHelps, spareOf, takeSpare, type MappedMemory } from "./spare-memory.ts";

let directory: string;
let base: MappedMemory;
let target: string;
let mapped: FileHandle;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "banger-spare-"));
  const path = join(directory, "memory.img");
  writeFileSync(path, "memory");
  mapped = await open(path, "r");
  base = { path, opened: `/proc/self/fd/${mapped.fd}` };
  target = join(directory, "target.img");
});
afterEach(async () => {
  await mapped.close();
  rmSync(directory, { recursive: true });
});

test("the spare copy itself becomes the target, once", async () => {
  writeFileSync(spareOf(base.path), "memory");
  const { ino } = statSync(spareOf(base.path));
  assert.equal(await spareHelps(base, target), base.path);
  assert.equal(await takeSpare(base, target), true);
  assert.equal(statSync(target).ino, ino);
  assert.equal(existsSync(spareOf(base.path)), false);
  assert.equal(await takeSpare(base, target), false);
  assert.equal(readFileSync(target, "utf8"), "memory");
});

test("a spare copy of another size is left alone", async () => {
  writeFileSync(spareOf(base.path), "mem");
  assert.equal(await takeSpare(base, target), false);
  assert.equal(existsSync(target), false);
});

test("the spare copy of a file that took the place of the mapped one is not its own", async () => {
  writeFileSync(join(directory, "other"), "yromem");
  renameSync(join(directory, "other"), base.path);
  writeFileSync(spareOf(base.path), "yromem");
  assert.equal(await takeSpare(base, target), false);
  assert.equal(await spareHelps(base, target), undefined);
  rmSync(base.path);
  assert.equal(await takeSpare(base, target), false);
});

test("between two file systems nothing is moved, and a spare copy is of no help", async () => {
  const elsewhere = mkdtempSync("/dev/shm/banger-spare-");
  try {
    const far = join(elsewhere, "target.img");
    assert.notEqual(statSync(elsewhere).dev, statSync(directory).dev);
    writeFileSync(spareOf(base.path), "memory");
    assert.equal(await takeSpare(base, far), false);
    assert.equal(await spareHelps(base, far), undefined);
    assert.ok(existsSync(spareOf(base.path)));
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});
