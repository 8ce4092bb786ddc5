// What a guest changed comes to the host: all of it, merged with what the host did meanwhile, or nothing.
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { signal, TwoSides } from "../testdata/two-sides.ts";
import { applyChanges } from "./apply.ts";

let sides: TwoSides;
beforeEach(() => {
  sides = new TwoSides((host) => {
    writeFileSync(join(host, "text"), Array.from({ length: 40 }, (_, n) => `line ${n}\n`).join(""));
    writeFileSync(join(host, "gone"), "gone");
    writeFileSync(join(host, "tool"), "#!/bin/sh\n");
    writeFileSync(join(host, ".gitignore"), "*.log\n");
    mkdirSync(join(host, "dir"));
    writeFileSync(join(host, "dir/file"), "in a directory");
  });
});
afterEach(() => sides[Symbol.dispose]());

async function apply(options: { check?: boolean } = {}) {
  await using quarantine = await sides.quarantine();
  const { changes } = await sides.fetch(quarantine);
  return await applyChanges({
    quarantine,
    changes,
    repository: await sides.repository(),
    journalDirectory: join(sides.directory, "journal"),
    check: options.check ?? false,
    signal,
  });
}

const host = (name: string) => join(sides.host, name);
const guest = (name: string) => join(sides.guest, name);
/** Nothing of an apply is left on the host. */
const nothingLeft = () => {
  const journal = join(sides.directory, "journal");
  assert.deepEqual(existsSync(journal) ? readdirSync(journal) : [], []);
  assert.deepEqual(
    readdirSync(host(".git")).filter((name) => name.startsWith("banger")),
    [],
  );
};

test("edits, additions, deletions, renames, modes, links, commits, odd names", async () => {
  sides.ship();
  sides.write("guest", "text", `${readFileSync(host("text"), "utf8")}more\n`);
  rmSync(guest("gone"));
  chmodSync(guest("tool"), 0o755);
  renameSync(guest("dir/file"), guest('moved "quoted"\nname'));
  sides.write("guest", "new/deep/blob", Buffer.from([0, 255, 1, 2]));
  writeFileSync(Buffer.concat([Buffer.from(`${sides.guest}/latin-`), Buffer.from([0xe9])]), "bytes");
  symlinkSync("text", guest("link"));
  sides.write("guest", "noise.log", "ignored");
  sides.gitOf(sides.guest, "add", "-A");
  sides.gitOf(sides.guest, "commit", "-qm", "in the guest");
  sides.write("guest", "after", "not committed");
  const before = sides.gitOf(sides.guest, "status", "--porcelain=v2", "--branch");
  const result = await apply();
  assert.deepEqual(result.conflicts, []);
  assert.equal(sides.gitOf(sides.guest, "status", "--porcelain=v2", "--branch"), before);
  assert.deepEqual(
    readdirSync(guest(".git")).filter((name) => name.startsWith("banger-")),
    [],
  );
  assert.equal(existsSync(host("gone")), false);
  assert.equal(existsSync(host("dir")), false, "the emptied directory went, too");
  assert.equal(lstatSync(host("tool")).mode & 0o777, 0o755);
  assert.equal(readFileSync(host('moved "quoted"\nname'), "utf8"), "in a directory");
  assert.deepEqual(readFileSync(host("new/deep/blob")), Buffer.from([0, 255, 1, 2]));
  assert.equal(readlinkSync(host("link")), "text");
  assert.equal(readFileSync(host("after"), "utf8"), "not committed");
  assert.equal(existsSync(host("noise.log")), false);
  sides.gitOf(sides.host, "add", "-A");
  sides.gitOf(sides.guest, "add", "-A");
  assert.equal(sides.gitOf(sides.host, "write-tree"), sides.gitOf(sides.guest, "write-tree"));
  nothingLeft();
});

test("uncommitted work of the host stays, and is merged with the guest's", async () => {
  sides.write("host", "tool", "dirty before it was shipped\n");
  sides.ship();
  sides.write("guest", "tool", "and changed again in the guest\n");
  sides.write("guest", "text", readFileSync(guest("text"), "utf8").replace("line 3\n", "line three\n"));
  sides.write("host", "text", readFileSync(host("text"), "utf8").replace("line 33\n", "line thirty-three\n"));
  sides.write("host", "untracked", "mine");
  chmodSync(host("text"), 0o640);
  const result = await apply();
  assert.deepEqual(result, { changed: 2, unchanged: 0, conflicts: [] });
  assert.match(readFileSync(host("text"), "utf8"), /line three\n[^]*line thirty-three\n/);
  assert.equal(lstatSync(host("text")).mode & 0o777, 0o640);
  assert.equal(readFileSync(host("tool"), "utf8"), "and changed again in the guest\n");
  assert.equal(readFileSync(host("untracked"), "utf8"), "mine");
  assert.deepEqual(await apply(), { changed: 1, unchanged: 1, conflicts: [] }, "the merged file merges again");
  nothingLeft();
});

test("a conflict anywhere: nothing is applied, and each one is named", async () => {
  sides.ship();
  sides.write("guest", "text", readFileSync(guest("text"), "utf8").replace("line 3\n", "guest\n"));
  sides.write("host", "text", readFileSync(host("text"), "utf8").replace("line 3\n", "host\n"));
  sides.write("guest", "fine", "would be new");
  sides.write("guest", "both", "guest's");
  sides.write("host", "both", "host's");
  rmSync(guest("gone"));
  sides.write("host", "gone", "changed on the host");
  const before = readFileSync(host("text"), "utf8");
  const merged = await apply();
  assert.deepEqual(merged.conflicts.map(({ path }) => String(path)).toSorted(), ["both", "gone"]);
  rmSync(host("both"));
  sides.write("host", "gone", "gone");
  const lines = await apply();
  assert.deepEqual(
    lines.conflicts.map(({ path, why }) => [String(path), why]),
    [["text", "both sides changed the same lines"]],
  );
  assert.equal(readFileSync(host("text"), "utf8"), before);
  assert.equal(existsSync(host("fine")), false);
  assert.equal(existsSync(host("gone")), true);
  nothingLeft();
});

test("files become directories and directories files", async () => {
  sides.ship();
  rmSync(guest("gone"));
  sides.write("guest", "gone/now/a", "directory");
  rmSync(guest("dir"), { recursive: true });
  sides.write("guest", "dir", "now a file");
  rmSync(guest("tool"));
  symlinkSync("text", guest("tool"));
  assert.deepEqual((await apply({ check: true })).conflicts, []);
  assert.equal(readFileSync(host("gone"), "utf8"), "gone", "a check changes nothing");
  assert.deepEqual((await apply()).conflicts, []);
  assert.equal(readFileSync(host("gone/now/a"), "utf8"), "directory");
  assert.equal(readFileSync(host("dir"), "utf8"), "now a file");
  assert.equal(readlinkSync(host("tool")), "text");
  assert.deepEqual(await apply(), { changed: 0, unchanged: 5, conflicts: [] }, "again: all is as the guest has it");
  nothingLeft();
});

test("what the host has in the way is never overwritten or followed", async () => {
  const outside = join(sides.directory, "outside");
  mkdirSync(outside);
  sides.ship();
  sides.write("guest", "a/file", "1");
  sides.write("guest", "b/file", "2");
  sides.write("guest", "c", "3");
  sides.write("guest", "d/file", "4");
  symlinkSync(outside, host("a"));
  sides.write("host", "b", "a file of the host's");
  sides.write("host", "c/kept.log", "in a directory of the host's");
  mkdirSync(host("d"));
  sides.gitOf(host("d"), "init", "-q");
  const { conflicts } = await apply();
  assert.deepEqual(conflicts.map(({ path }) => String(path)).toSorted(), ["a/file", "b/file", "c", "d/file"]);
  assert.deepEqual(readdirSync(outside), []);
  nothingLeft();
});
