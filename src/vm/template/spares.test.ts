// Spare copies of templates' memory: made after captures, within the bound, and never left over.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { stagingDirectory } from "../../lib/files.ts";
import { silentLogger } from "../../lib/log.ts";
import { until } from "../../../test/support/until.ts";
import { spareOf } from "../../vmm/spare-memory.ts";
import { captureFiles, sealTemplate } from "./files.ts";
import { Spares } from "./spares.ts";
import { openTemplateStore, type TemplateStore } from "./store.ts";

const sizeBytes = 1024 * 1024;
const id = "a".repeat(64);
let directory: string;
let store: TemplateStore;
let spares: Spares;
let said: string[];
let memoryFile: string;
let spare: string;

const reopen = () => openTemplateStore({ directory, keep: () => true, log: silentLogger });
const newSpares = (maxBytes: number) =>
  new Spares({ store, maxBytes, restMs: 0, log: { info: (message) => void said.push(message) } });

async function add(name: string, maxBytes: number): Promise<void> {
  await using staging = await stagingDirectory(directory);
  const files = captureFiles(staging.path);
  writeFileSync(files.memoryFile, Buffer.alloc(sizeBytes, name));
  writeFileSync(files.stateFile, "state");
  const about = {
    kernel: { id: "k", name: "kernel" },
    vcpus: 1,
    memoryMib: 1,
    root: null,
    vmm: "qemu 1 tcg",
    createdAt: 1,
  };
  await sealTemplate(staging.path, { id: name, ...about });
  await store.add(staging.path, name, maxBytes);
}

function capture(): void {
  using turn = spares.capturing();
  turn.based(memoryFile);
}
const made = () => until("a spare copy", () => (existsSync(spare) ? true : undefined));
const names = () => readdirSync(dirname(memoryFile)).toSorted();
const withoutSpare = ["manifest.json", "memory.img", "state.bin"];

beforeEach(async () => {
  // A file system that shares no blocks: where they are shared, no spare copies are made.
  directory = mkdtempSync("/dev/shm/banger-spares-");
  ({ memoryFile } = captureFiles(join(directory, id)));
  spare = spareOf(memoryFile);
  said = [];
  store = await reopen();
  await add(id, 10 * sizeBytes);
  spares = newSpares(10 * sizeBytes);
});
afterEach(async () => {
  await spares[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true });
});

test("the first capture has a private, equal copy made, which counts; one that was taken is replaced", async () => {
  const without = store.get(id)?.usedBytes ?? 0;
  for (let round = 0; round < 2; round++) {
    capture();
    await made();
    assert.deepEqual(readFileSync(spare), readFileSync(memoryFile));
    assert.equal(statSync(spare).mode & 0o777, 0o600);
    await until("it to count", () => (store.get(id)?.usedBytes === without + sizeBytes ? true : undefined));
    assert.deepEqual(names(), ["manifest.json", "memory.img", "memory.img.spare", "state.bin"]);
    rmSync(spare);
  }
});

test("none is begun while a machine is captured, nor for memory that is no template's", async () => {
  const other = spares.capturing();
  capture();
  // Were it not for the other capture, this would be over only after the copy.
  await spares[Symbol.asyncDispose]();
  assert.deepEqual(names(), withoutSpare);
  spares = newSpares(10 * sizeBytes);
  other[Symbol.dispose]();
  {
    using turn = spares.capturing();
    turn.based("/nowhere/memory.img");
  }
  capture();
  await made();
});

test("the bound holds: no template goes for a spare copy, and spare copies go before templates", async () => {
  await spares[Symbol.asyncDispose]();
  const narrow = 2.5 * sizeBytes;
  spares = newSpares(narrow);
  capture();
  await made();
  await add("b".repeat(64), narrow);
  assert.deepEqual(names(), withoutSpare);
  assert.equal(store.list().length, 2);
  assert.equal(await store.hasRoomForSpare(id, narrow), false);
  assert.equal(await store.hasRoomForSpare(id, 4 * sizeBytes), true);
});

test("what former daemons left is not believed in", async () => {
  writeFileSync(spare, "torn");
  writeFileSync(`${spare}.0123456789ab.tmp`, "torn");
  store = await reopen();
  assert.deepEqual(names(), withoutSpare);
});

test("the end of the daemon, and of the template, leave nothing", async () => {
  capture();
  await spares[Symbol.asyncDispose]();
  assert.ok(!names().some((name) => name.endsWith(".tmp")), names().join());
  spares = newSpares(10 * sizeBytes);
  capture();
  await store.remove(id);
  assert.deepEqual(readdirSync(directory), []);
  assert.deepEqual(said, []);
});
