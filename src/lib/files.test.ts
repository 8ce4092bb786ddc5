// Nothing is seen half made, nothing outside a root is removed.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, symlink, mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { publish, removeInside, removeUnfinished, stagingDirectory, writeFileAtomic } from "./files.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "banger-files-"));
});
afterEach(() => rm(directory, { recursive: true }));

test("an atomic write replaces the file, is private, and leaves no staging file", async () => {
  const path = join(directory, "a");
  await writeFileAtomic(path, "one");
  await writeFileAtomic(path, "two");
  assert.equal(await readFile(path, "utf8"), "two");
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(await readdir(directory), ["a"]);
});

test("a failed atomic write leaves the old content and no staging file", async () => {
  const path = join(directory, "a");
  await mkdir(path);
  await assert.rejects(writeFileAtomic(path, "x"));
  assert.deepEqual(await readdir(directory), ["a"]);
});

test("removal stays below its root and does not follow links", async () => {
  const root = join(directory, "root");
  const outside = join(directory, "outside");
  await mkdir(root);
  await mkdir(outside);
  await writeFile(join(outside, "keep"), "");
  await symlink(outside, join(root, "link"));
  await removeInside(root, join(root, "link"));
  await removeInside(root, join(root, "missing"));
  assert.deepEqual(await readdir(outside), ["keep"]);
  for (const path of [root, outside, join(root, "..", "outside"), "/", `${root}-other`]) {
    await assert.rejects(removeInside(root, path), /refusing to remove/);
  }
  assert.deepEqual(await readdir(outside), ["keep"]);
});

test("removal comes to its end although somebody has made files there meanwhile", async () => {
  const tree = join(directory, "tree");
  await mkdir(tree);
  const names = Array.from({ length: 1000 }, (_, at) => join(tree, String(at)));
  for (const name of names) await writeFile(name, "");
  const removed = removeInside(directory, tree);
  while (names.every((name) => existsSync(name))) await new Promise(setImmediate);
  for (let count = 0; count < 20; count++) await writeFile(join(tree, `late-${count}`), "");
  await removed;
  assert.deepEqual(await readdir(directory), []);
});

test("a staging directory goes when it is not published, and stays when it is", async () => {
  {
    await using staging = await stagingDirectory(directory);
    await writeFile(join(staging.path, "x"), "");
  }
  assert.deepEqual(await readdir(directory), []);
  {
    await using staging = await stagingDirectory(directory);
    await publish(staging.path, join(directory, "done"));
  }
  assert.deepEqual(await readdir(directory), ["done"]);
});

test("what a killed process was writing is removed, and nothing else", async () => {
  for (const name of ["a", "a.0a1b2c3d4e5f.tmp", "a.tmp.txt"]) await writeFile(join(directory, name), "");
  await mkdir(join(directory, "b.new"));
  await writeFile(join(directory, "b.new/file"), "");
  await removeUnfinished(directory);
  assert.deepEqual((await readdir(directory)).toSorted(), ["a", "a.tmp.txt"]);
  await removeUnfinished(join(directory, "missing"));
});
