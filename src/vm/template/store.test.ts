// Templates on the disk: found again, taken, made room for, removed only when nobody restores them.
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { stagingDirectory } from "../../lib/files.ts";
import { silentLogger } from "../../lib/log.ts";
import { until } from "../../../test/support/until.ts";
import { captureFiles, sealTemplate } from "./files.ts";
import { openTemplateStore, type TemplateStore } from "./store.ts";

const blockBytes = 64 * 1024;
const plenty = 1024 * blockBytes;
let directory: string;
let store: TemplateStore;
const reopen = (kernels = ["k"]) =>
  openTemplateStore({ directory, keep: ({ manifest }) => kernels.includes(manifest.kernel.id), log: silentLogger });

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "banger-templates-"));
  store = await reopen();
});
afterEach(() => rmSync(directory, { recursive: true }));

const idOf = (digit: string) => digit.repeat(64);

/** Adds a template of `blockBytes` and a little. */
async function add(digit: string, maxBytes = plenty, kernel = "k") {
  await using staging = await stagingDirectory(directory);
  const { memoryFile, stateFile } = captureFiles(staging.path);
  writeFileSync(memoryFile, Buffer.alloc(blockBytes, 1), { mode: 0o644 });
  writeFileSync(stateFile, "state");
  const id = idOf(digit);
  const about = {
    kernel: { id: kernel, name: "kernel" },
    vcpus: 1,
    memoryMib: 256,
    root: null,
    vmm: "qemu 1 tcg",
    createdAt: 1,
  };
  await sealTemplate(staging.path, { id, ...about });
  return await store.add(staging.path, id, maxBytes);
}

/** When it was used, as the disk says it. */
function usedAt(digit: string, secondsAgo: number): void {
  const then = new Date(Date.now() - secondsAgo * 1000);
  utimesSync(join(directory, idOf(digit), "manifest.json"), then, then);
}

/** First digits of the ids, last used first. */
const listed = () => store.list().map(({ id }) => id[0] ?? "");
const sorted = () => listed().toSorted((a, b) => a.localeCompare(b));

test("a template is private, is found again by a later daemon, and knows when it was used", async () => {
  const record = await add("a");
  assert.ok(record.usedBytes >= blockBytes);
  const { memoryFile, stateFile } = captureFiles(join(directory, idOf("a")));
  for (const path of [memoryFile, stateFile, join(directory, idOf("a"), "manifest.json")]) {
    assert.equal(statSync(path).mode & 0o777, 0o600);
  }
  assert.equal(statSync(join(directory, idOf("a"))).mode & 0o777, 0o700);
  assert.deepEqual(readdirSync(directory), [idOf("a")]);
  usedAt("a", 1000);
  store = await reopen();
  const [again] = store.list();
  assert.ok(again !== undefined && Date.now() - again.lastUsedAt > 900_000);
  using use = store.take(idOf("a"));
  assert.equal(use?.capture.memoryFile, memoryFile);
  assert.ok(Date.now() - (store.get(idOf("a"))?.lastUsedAt ?? 0) < 60_000);
  await until("the use to be noted on the disk", () =>
    Date.now() - statSync(join(directory, idOf("a"), "manifest.json")).mtimeMs < 60_000 ? true : undefined,
  );
});

test("what is no whole template, or one of a kernel that is gone, is removed at the start", async () => {
  await add("a");
  await add("b", plenty, "gone");
  await add("c");
  await add("d");
  rmSync(captureFiles(join(directory, idOf("c"))).stateFile);
  writeFileSync(join(directory, idOf("d"), "manifest.json"), "{");
  mkdirSync(join(directory, "staging-1-abc"));
  mkdirSync(join(directory, idOf("e")));
  writeFileSync(join(directory, "file"), "");
  store = await reopen();
  assert.deepEqual(listed(), ["a"]);
  assert.deepEqual(readdirSync(directory), [idOf("a")]);
});

test("the least recently used ones make room, never one that is being restored, and never the new one", async () => {
  const { usedBytes } = await add("a");
  for (const digit of ["b", "c"]) await add(digit);
  for (const [digit, secondsAgo] of [
    ["a", 300],
    ["b", 200],
    ["c", 100],
  ] as const)
    usedAt(digit, secondsAgo);
  store = await reopen();
  const restoring = store.take(idOf("a"));
  // "a" is the most recently used one now; it is made the oldest again, as a long restore would be.
  usedAt("a", 300);
  await add("d", 3 * usedBytes);
  assert.deepEqual(sorted(), ["a", "c", "d"]);
  await add("e", usedBytes);
  assert.deepEqual(sorted(), ["a", "e"]);
  restoring?.[Symbol.dispose]();
  await add("f", usedBytes);
  assert.deepEqual(listed(), ["f"]);
});

test("one that is too large by itself is refused, and nothing is removed for it", async () => {
  await add("a");
  await assert.rejects(add("b", blockBytes), { code: "template.failed", message: /templates\.max_size/ });
  assert.deepEqual(listed(), ["a"]);
});

test("one that is removed while it is restored is not taken again, and its files stay until the end", async () => {
  await add("a");
  const first = store.take(idOf("a"));
  const second = store.take(idOf("a"));
  const removed = store.remove(idOf("a"));
  assert.equal(store.take(idOf("a")), undefined);
  assert.deepEqual(store.list(), []);
  first?.[Symbol.dispose]();
  first?.[Symbol.dispose]();
  assert.ok(existsSync(join(directory, idOf("a"), "memory.img")));
  second?.[Symbol.dispose]();
  await removed;
  assert.deepEqual(readdirSync(directory), []);
  await add("a");
  assert.deepEqual(listed(), ["a"]);
});
