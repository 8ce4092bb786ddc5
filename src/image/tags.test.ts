// The file of names: what is in it after changes at the same time, after one that failed, and after a process that was killed.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "../lib/log.ts";
import { ImageTags } from "./tags.ts";

let directory: string;
let file: string;
const open = () => ImageTags.open(file, (id) => id !== "gone", silentLogger);
const written = () => JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "banger-tags-"));
  file = join(directory, "state/tags.json");
  mkdirSync(join(directory, "state"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("of changes at the same time none is lost", async () => {
  const tags = await open();
  const names = Array.from({ length: 40 }, (_, index) => `name-${index}`);
  await Promise.all(names.map((name) => tags.set(name, "one")));
  assert.deepEqual(Object.keys(written()).toSorted(), names.toSorted());
  await Promise.all([...names.slice(1).map((name) => tags.remove(name)), tags.set("last", "two")]);
  assert.deepEqual(written(), { "name-0": "one", last: "two" });
  await Promise.all([tags.forget("one"), tags.set("more", "gone")]);
  assert.deepEqual(written(), { last: "two", more: "gone" });
  assert.deepEqual([(await open()).idOf("last"), (await open()).idOf("more")], ["two", undefined]);
});

test("a change that cannot be written is not made", async () => {
  const tags = await open();
  await tags.set("first", "one");
  rmSync(join(directory, "state"), { recursive: true });
  await assert.rejects(tags.set("second", "one"), { code: "ENOENT" });
  assert.deepEqual(tags.of("one"), ["first"]);
});

test("what a killed process was writing is removed, and nothing else", async () => {
  for (const name of ["tags.json.0011aabbccdd.tmp", "other.json.0011aabbccdd.tmp", "tags.jsonx"])
    writeFileSync(join(directory, "state", name), "{");
  await open();
  assert.deepEqual(readdirSync(join(directory, "state")).toSorted(), ["other.json.0011aabbccdd.tmp", "tags.jsonx"]);
});
