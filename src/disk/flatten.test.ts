// A merged chain shows the same content in one sparse file, is whole or not there, and can be made while machines read the layers.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { createLayer } from "./layer.ts";
import { flattenChain } from "./flatten.ts";
import { smallDisk } from "./testdata/small-disk.ts";
import { assertSameContent, failsWith, gib, io, mib, never, temporary } from "./testdata/tools.ts";

/** Layers `1` to `depth` above a raw disk `0` of 1 GiB; each writes one MiB in full and hides a page of the former's with zeroes. */
async function makeChain(directory: string, depth: number): Promise<string> {
  const at = (index: number) => join(directory, String(index));
  writeFileSync(at(0), Buffer.alloc(mib, 100));
  truncateSync(at(0), gib);
  for (let index = 1; index <= depth; index++) {
    const backing = { path: at(index - 1), format: index === 1 ? "raw" : "qcow2" } as const;
    await createLayer(at(index), { sizeBytes: gib, backing }, never);
    io(at(index), "qcow2", `write -P ${index} ${index * 100}M 1M`, `write -z ${(index - 1) * 100}M 4k`);
  }
  return at(depth);
}

test("the content of all layers, with holes, and progress to the end", async () => {
  using directory = temporary();
  const top = await makeChain(directory.path, 5);
  const target = join(directory.path, "flat");
  const progress: [number, number][] = [];
  await flattenChain(top, "qcow2", target, { ...never, onBytes: (done, total) => progress.push([done, total]) });
  assertSameContent(top, "qcow2", target, "raw");
  assert.deepEqual([statSync(target).size, statSync(target).mode & 0o777], [gib, 0o600]);
  const taken = statSync(target).blocks * 512;
  assert.ok(taken <= 6 * mib, `${taken} bytes are taken`);
  assert.deepEqual(progress.at(-1), [gib, gib]);
  assert.ok(progress.every(([done], index) => done >= (progress[index - 1]?.[0] ?? 0)));
  assert.deepEqual(readdirSync(directory.path), ["0", "1", "2", "3", "4", "5", "flat"]);
});

test("a raw disk is copied, and a target that is there is replaced", async () => {
  using directory = temporary();
  const path = await makeChain(directory.path, 0);
  const target = join(directory.path, "flat");
  writeFileSync(target, "old");
  await flattenChain(path, "raw", target, never);
  assertSameContent(path, "raw", target, "raw");
});

test("a machine may write to a layer above the chain meanwhile", async () => {
  using directory = temporary();
  const frozen = await makeChain(directory.path, 2);
  const top = join(directory.path, "top");
  await createLayer(top, { sizeBytes: gib, backing: { path: frozen, format: "qcow2" } }, never);
  const machine = spawn("qemu-io", ["-f", "qcow2", top], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(machine, "exit");
  const lines = createInterface(machine.stdout)[Symbol.asyncIterator]();
  machine.stdin.write("write -P 50 0 1M\n");
  assert.match(String((await lines.next()).value), /wrote 1048576/);
  const target = join(directory.path, "flat");
  await flattenChain(frozen, "qcow2", target, never);
  machine.stdin.end("read -P 50 0 1M\nquit\n");
  assert.deepEqual(await ended, [0, null]);
  assertSameContent(frozen, "qcow2", target, "raw");
});

test("a chain that is not ours is refused before anything opens it", async () => {
  using directory = temporary();
  const [layer, target] = [join(directory.path, "layer"), join(directory.path, "flat")];
  await createLayer(
    layer,
    { sizeBytes: gib, backing: { path: join(directory.path, "missing"), format: "raw" } },
    never,
  );
  await assert.rejects(flattenChain(layer, "qcow2", target, never), failsWith("snapshot.failed", /missing/));
  writeFileSync(layer, "garbage");
  await assert.rejects(flattenChain(layer, "qcow2", target, never), failsWith("snapshot.failed", /not a qcow2 file/));
  assert.deepEqual(readdirSync(directory.path), ["layer"]);
});

test("a layer with damaged tables is refused by its name", async () => {
  using directory = temporary();
  const top = await makeChain(directory.path, 1);
  // A table of the second level that lies on an odd address.
  const l1 = Buffer.alloc(8, 0xff);
  io(top, "raw", ...[...l1].map((byte, index) => `write -P ${byte} ${3 * 65536 + index * 512} 512`));
  await assert.rejects(
    flattenChain(top, "qcow2", join(directory.path, "flat"), never),
    failsWith("snapshot.failed", /its layers cannot be merged/),
  );
  assert.deepEqual(readdirSync(directory.path), ["0", "1"]);
});

test("a full disk is said to be full, leaves nothing, and does when there is room", async () => {
  await using disk = await smallDisk(16);
  using directory = temporary();
  const top = await makeChain(directory.path, 5);
  const target = join(disk.path, "flat");
  {
    using _filler = disk.fill(2 * mib);
    await assert.rejects(flattenChain(top, "qcow2", target, never), failsWith("disk.full", /no space left to merge/));
    assert.deepEqual(readdirSync(disk.path), ["filler"]);
  }
  await flattenChain(top, "qcow2", target, never);
  assertSameContent(top, "qcow2", target, "raw");
});

test("what is cancelled while it runs leaves nothing, and an older target stays", async () => {
  using directory = temporary();
  const top = await makeChain(directory.path, 3);
  const target = join(directory.path, "flat");
  writeFileSync(target, "old");
  const abort = new AbortController();
  const reason = new Error("enough");
  await assert.rejects(
    flattenChain(top, "qcow2", target, { signal: abort.signal, onBytes: () => abort.abort(reason) }),
    reason,
  );
  assert.deepEqual(readdirSync(directory.path), ["0", "1", "2", "3", "flat"]);
  assert.equal(statSync(target).size, 3);
});
