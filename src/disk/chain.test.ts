// Chains are read as qemu reads them, and nothing that a header says makes us open, believe or wait for what is no disk of ours.
import assert from "node:assert/strict";
import { linkSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { readChain, virtualSize } from "./chain.ts";
import { createLayer } from "./layer.ts";
import { encodeHeader } from "./qcow2-header.ts";
import { failsWith, gib, mib, never, temporary, tool } from "./testdata/tools.ts";

test("a chain of our layers and of qemu-img's is what qemu-img says", async () => {
  using directory = temporary();
  const at = (name: string) => join(directory.path, name);
  tool("qemu-img", "create", "-q", "-f", "raw", at("0"), "1G");
  await createLayer(at("1"), { sizeBytes: gib, backing: { path: at("0"), format: "raw" } }, never);
  tool("qemu-img", "create", "-q", "-f", "qcow2", "-b", at("1"), "-F", "qcow2", at("2"));
  await createLayer(at("3"), { sizeBytes: 2 * gib, backing: { path: at("2"), format: "qcow2" } }, never);
  const theirs = JSON.parse(tool("qemu-img", "info", "--backing-chain", "--output=json", at("3"))) as Record<
    string,
    unknown
  >[];
  assert.deepEqual(
    (await readChain(at("3"), "qcow2")).map(({ path, format, sizeBytes, backing }) => [
      path,
      format,
      sizeBytes,
      backing?.path,
      backing?.format,
    ]),
    theirs.map((each) => [
      each["filename"],
      each["format"],
      each["virtual-size"],
      each["full-backing-filename"],
      each["backing-filename-format"],
    ]),
  );
  assert.equal(await virtualSize(at("3"), "qcow2"), 2 * gib);
  assert.equal(await virtualSize(at("0"), "raw"), gib);
});

test("a raw disk is not looked into", async () => {
  using directory = temporary();
  const path = join(directory.path, "disk");
  await createLayer(path, { sizeBytes: gib, backing: { path: "/etc/shadow", format: "raw" } }, never);
  const [disk, ...more] = await readChain(path, "raw");
  assert.deepEqual([disk?.backing, disk?.sizeBytes, more], [undefined, readFileSync(path).length, []]);
});

const tables = { clusterBits: 16, l1Entries: 1, l1Offset: 3 << 16, refcountTableOffset: 1 << 16 };

/** A header above /base whose bytes were changed. */
function header(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.concat([encodeHeader(gib, { path: "/base", format: "raw" }, tables), Buffer.alloc(65_536)]);
  change(bytes);
  return bytes;
}

/** From the first to the end of a small cluster; the name lies in one of them. */
function endlessExtensions(bytes: Buffer): void {
  bytes.writeUInt32BE(9, 20);
  bytes.writeBigUInt64BE(120n, 8);
  for (let at = 112; at < 512; at += 8) bytes.writeBigUInt64BE(1n << 32n, at);
  bytes.writeUInt32BE(8, 116);
  bytes.write("/base", 120);
}

const hostile: [string, Buffer, RegExp][] = [
  ["nothing", Buffer.alloc(0), /not a qcow2 file/],
  ["the start of a header", header(() => {}).subarray(0, 100), /not a qcow2 file/],
  ["another magic", header((bytes) => bytes.writeUInt8(0x50, 0)), /not a qcow2 file/],
  ["version 2", header((bytes) => bytes.writeUInt32BE(2, 4)), /version 2/],
  ["tiny clusters", header((bytes) => bytes.writeUInt32BE(8, 20)), /2\^8 bytes/],
  ["huge clusters", header((bytes) => bytes.writeUInt32BE(0xffffffff, 20)), /2\^4294967295 bytes/],
  ["no size", header((bytes) => bytes.writeBigUInt64BE(0n, 24)), /size of 0 bytes/],
  ["a huge size", header((bytes) => bytes.writeBigUInt64BE(2n ** 63n, 24)), /size of 9223372036854775808/],
  ["encryption", header((bytes) => bytes.writeUInt32BE(2, 32)), /encrypted/],
  ["a corrupt mark", header((bytes) => bytes.writeUInt8(2, 79)), /marked as corrupt/],
  ["an external data file", header((bytes) => bytes.writeUInt8(4, 79)), /unknown features \(0x4\)/],
  ["an unknown feature", header((bytes) => bytes.writeUInt8(1, 72)), /unknown features/],
  ["a short header", header((bytes) => bytes.writeUInt32BE(72, 100)), /its header has 72 bytes/],
  ["an endless header", header((bytes) => bytes.writeUInt32BE(0xffffffff, 100)), /its header has 4294967295 bytes/],
  ["a name behind the cluster", header((bytes) => bytes.writeBigUInt64BE(65_534n, 8)), /out of bounds/],
  ["a name far away", header((bytes) => bytes.writeBigUInt64BE(2n ** 64n - 1n, 8)), /out of bounds/],
  ["a long name", header((bytes) => bytes.writeUInt32BE(1024, 16)), /out of bounds/],
  ["an empty name", header((bytes) => bytes.writeUInt32BE(0, 16)), /out of bounds/],
  ["a name with a zero", header((bytes) => bytes.writeUInt8(0, Number(bytes.readBigUInt64BE(8)) + 2)), /absolute path/],
  ["a relative name", header((bytes) => bytes.write("base!", Number(bytes.readBigUInt64BE(8)))), /absolute path/],
  ["a protocol", header((bytes) => bytes.write("nbd:x", Number(bytes.readBigUInt64BE(8)))), /absolute path/],
  ["an object", header((bytes) => bytes.write("json:", Number(bytes.readBigUInt64BE(8)))), /absolute path/],
  [
    "bytes that are no text",
    header((bytes) => bytes.writeUInt8(0xff, Number(bytes.readBigUInt64BE(8)) + 1)),
    /absolute path/,
  ],
  ["no format", header((bytes) => bytes.writeUInt32BE(0, 112)), /does not say the format/],
  ["another format", header((bytes) => bytes.write("vmdk", 120)), /format of its backing file is unknown/],
  [
    "an extension out of bounds",
    header((bytes) => bytes.writeUInt32BE(0xfffffff0, 116)),
    /extension of its header is out of bounds/,
  ],
  ["extensions without end", header(endlessExtensions), /have no end/],
];
for (const [what, bytes, message] of hostile) {
  test(`refused: ${what}`, async () => {
    using directory = temporary();
    const path = join(directory.path, "layer");
    writeFileSync(path, bytes);
    await assert.rejects(readChain(path, "qcow2"), failsWith("snapshot.failed", message));
    await assert.rejects(virtualSize(path, "qcow2"), failsWith("snapshot.failed", message));
  });
}

test("whatever a header says, there is an answer or snapshot.failed", async () => {
  using directory = temporary();
  const path = join(directory.path, "layer");
  let seed = 1;
  const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const original = header(() => {}).subarray(0, 160);
  for (let round = 0; round < 1000; round++) {
    const bytes = Buffer.from(original);
    for (let change = 0; change <= random(4); change++)
      bytes.writeUInt8([0, 1, 0x7f, 0xff, random(256)][random(5)] ?? 0, random(bytes.length));
    writeFileSync(path, bytes.subarray(0, random(8) === 0 ? random(bytes.length) : undefined));
    await readChain(path, "qcow2").catch((error: unknown) => {
      assert.ok(error instanceof BangerError && error.code === "snapshot.failed", `round ${round}: ${String(error)}`);
    });
  }
});

test("what is no regular file is refused, also below", async () => {
  using directory = temporary();
  const at = (name: string) => join(directory.path, name);
  mkdirSync(at("directory"));
  symlinkSync("/etc/passwd", at("link"));
  tool("mkfifo", at("pipe"));
  for (const name of ["missing", "directory", "link", "pipe"]) {
    const expected = failsWith(
      "snapshot.failed",
      new RegExp(`the disk ".*${name}" cannot be used: ${name === "missing" ? "it is missing" : ""}`),
    );
    await assert.rejects(readChain(at(name), "raw"), expected);
    await assert.rejects(readChain(at(name), "qcow2"), expected);
    await createLayer(at(`above-${name}`), { sizeBytes: mib, backing: { path: at(name), format: "raw" } }, never);
    await assert.rejects(readChain(at(`above-${name}`), "qcow2"), expected);
  }
});

test("a layer that is below itself is refused, under whatever name", async () => {
  using directory = temporary();
  const at = (name: string) => join(directory.path, name);
  const above = (name: string) => ({ sizeBytes: mib, backing: { path: at(name), format: "qcow2" } }) as const;
  await createLayer(at("a"), above("b"), never);
  await createLayer(at("b"), above("a"), never);
  await assert.rejects(readChain(at("a"), "qcow2"), failsWith("snapshot.failed", /below itself/));
  rmSync(at("b"));
  linkSync(at("a"), at("b"));
  await assert.rejects(readChain(at("a"), "qcow2"), failsWith("snapshot.failed", /below itself/));
});

test("256 layers are read, one more is refused", async () => {
  using directory = temporary();
  const at = (index: number) => join(directory.path, String(index));
  writeFileSync(at(0), Buffer.alloc(mib));
  for (let index = 1; index <= 256; index++) {
    const bytes = encodeHeader(mib, { path: at(index - 1), format: index === 1 ? "raw" : "qcow2" }, tables);
    writeFileSync(at(index), bytes);
  }
  assert.equal((await readChain(at(255), "qcow2")).length, 256);
  await assert.rejects(readChain(at(256), "qcow2"), failsWith("snapshot.failed", /more than 256 layers/));
});
