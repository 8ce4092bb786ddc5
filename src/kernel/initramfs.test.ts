// The initramfs: which modules are in it and in which order, the archive itself, and the cache.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { KernelRecord } from "../api/records.ts";
import { silentLogger } from "../lib/log.ts";
import { buildInitramfs } from "./initramfs.ts";
import { parseModinfo } from "./modinfo.ts";
import { modulesList, planModules } from "./module-plan.ts";
import { moduleFile, virtioModules, writeTree } from "./testdata/fixtures.ts";

const { signal } = new AbortController();
const release = "6.1.0-test";
let root: string;
let tree: string;
let kernel: KernelRecord;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "banger-initramfs-"));
  tree = join(root, "lib/modules", release);
  writeTree(tree, { ...virtioModules, "modules.builtin": "kernel/fs/ext4/ext4.ko\nkernel/lib/crc16.ko\n" });
  kernel = {
    id: "a".repeat(64),
    name: "test",
    version: release,
    architecture: "amd64",
    source: "directory:test",
    kernelPath: join(root, "kernel"),
    kernelSha256: "",
    modulesDir: root,
    sizeBytes: 0,
    createdAt: 0,
  };
});
afterEach(() => rmSync(root, { recursive: true }));

describe("the module plan", () => {
  test("has what is needed, after what it depends on, channel first", async () => {
    const plan = await planModules(tree, signal);
    assert.equal(
      modulesList(plan),
      `channel /lib/modules/banger/virtio_ring.ko
channel /lib/modules/banger/virtio.ko
channel /lib/modules/banger/virtio_mmio.ko
channel /lib/modules/banger/virtio_console.ko
device /lib/modules/banger/failover.ko
device /lib/modules/banger/net_failover.ko
device /lib/modules/banger/virtio_net.ko
device /lib/modules/banger/virtio_blk.ko
device /lib/modules/banger/crypto_thing.ko
device /lib/modules/banger/overlay.ko
`,
    );
  });

  test("unpacks compressed modules", async () => {
    const plain = moduleFile("depends=", "name=virtio_blk");
    const compressed: Record<string, Buffer> = {
      xz: spawnSync("xz", ["-c"], { input: plain }).stdout,
      gz: gzipSync(plain),
      zst: zstdCompressSync(plain),
    };
    for (const [suffix, data] of Object.entries(compressed)) {
      const path = join(tree, "kernel/drivers/block/virtio_blk.ko");
      rmSync(path, { force: true });
      writeFileSync(`${path}.${suffix}`, data);
      const plan = await planModules(tree, signal);
      assert.deepEqual(plan.find((module) => module.name === "virtio_blk")?.data, plain, suffix);
      writeFileSync(`${path}.${suffix}`, data.subarray(0, data.length - 20));
      const cut = { code: "kernel.invalid", message: new RegExp(`virtio_blk\\.ko\\.${suffix}`) };
      await assert.rejects(planModules(tree, signal), cut);
      rmSync(`${path}.${suffix}`);
    }
  });

  test("says which driver is missing, and which file is no module", async () => {
    rmSync(join(tree, "kernel/drivers/block/virtio_blk.ko"));
    await assert.rejects(planModules(tree, signal), { code: "kernel.invalid", message: /no driver "virtio_blk"/ });
    writeTree(tree, { "kernel/drivers/block/virtio_blk.ko": moduleFile("depends=gone") });
    await assert.rejects(planModules(tree, signal), { message: /no driver "gone", which "virtio_blk" needs/ });
    for (const bytes of [Buffer.alloc(0), Buffer.from("text"), moduleFile("a=b").subarray(0, 150)]) {
      writeTree(tree, { "kernel/drivers/block/virtio_blk.ko": bytes });
      await assert.rejects(planModules(tree, signal), { code: "kernel.invalid", message: /virtio_blk\.ko/ });
    }
  });

  test("a module whose table of sections is a lie is refused", () => {
    const lie = moduleFile("depends=");
    lie.writeUInt16LE(60_000, 0x3e);
    assert.throws(() => parseModinfo(lie, "lie.ko"), { code: "kernel.invalid", message: /lie\.ko/ });
  });

  test("modules that depend on each other end", async () => {
    writeTree(tree, { "kernel/drivers/virtio/virtio_ring.ko": moduleFile("depends=virtio") });
    const names = (await planModules(tree, signal)).map((module) => module.name);
    assert.deepEqual(names.slice(0, 2), ["virtio_ring", "virtio"]);
  });
});

interface Unpacked {
  mode: number;
  device: string;
  data: Buffer;
}

/** Reads a newc archive back, checking its alignment and end. */
function unpack(archive: Buffer): Map<string, Unpacked> {
  const entries = new Map<string, Unpacked>();
  const align = (at: number) => Math.ceil(at / 4) * 4;
  for (let at = 0; ;) {
    assert.equal(archive.toString("latin1", at, at + 6), "070701");
    const field = (index: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const nameEnd = at + 110 + field(11);
    const name = archive.toString("utf8", at + 110, nameEnd - 1);
    const dataAt = align(nameEnd);
    if (name === "TRAILER!!!") {
      assert.equal(dataAt, archive.length);
      return entries;
    }
    const data = archive.subarray(dataAt, dataAt + field(6));
    entries.set(name, { mode: field(1), device: `${field(9)}:${field(10)}`, data });
    at = align(dataAt + data.length);
  }
}

describe("the initramfs", () => {
  const build = (agentPath: string) =>
    buildInitramfs({ kernel, agentPath, cacheDir: join(root, "cache"), log: silentLogger }, { signal });

  test("holds the agent as /init, the modules and the nodes that the kernel opens", async () => {
    const agentPath = join(root, "agent");
    writeFileSync(agentPath, "the agent");
    const entries = unpack(readFileSync(await build(agentPath)));
    assert.equal(entries.get("init")?.data.toString(), "the agent");
    assert.equal(entries.get("init")?.mode, 0o100755);
    assert.deepEqual([entries.get("dev/console")?.mode, entries.get("dev/console")?.device], [0o020600, "5:1"]);
    assert.equal(entries.get("dev/null")?.device, "1:3");
    for (const name of ["dev", "proc", "sys"]) assert.equal(entries.get(name)?.mode, 0o040755);
    const listed = entries.get("lib/modules/banger/modules.list")?.data.toString().trim().split("\n") ?? [];
    assert.equal(listed.length, 10);
    for (const line of listed) assert.ok(entries.has(line.replace(/^\w+ \//, "")), line);
  });

  test("is built once for a kernel and an agent; the one for an older agent is removed", async () => {
    const agentPath = join(root, "agent");
    writeFileSync(agentPath, "one");
    const first = await build(agentPath);
    rmSync(join(tree, "kernel"), { recursive: true });
    assert.equal(await build(agentPath), first);
    kernel = { ...kernel, modulesDir: null };
    writeFileSync(agentPath, "another");
    const second = await build(agentPath);
    assert.notEqual(second, first);
    assert.deepEqual(
      readdirSync(join(root, "cache/initramfs")).map((name) => join(root, "cache/initramfs", name)),
      [second],
    );
    assert.equal(unpack(readFileSync(second)).get("lib/modules/banger/modules.list")?.data.length, 0);
  });

  test("a failed build leaves nothing, a missing agent is named", async () => {
    await assert.rejects(build(join(root, "nowhere")), { code: "command.missing", message: /nowhere/ });
    const agentPath = join(root, "agent");
    writeFileSync(agentPath, "one");
    rmSync(join(tree, "kernel/drivers/block/virtio_blk.ko"));
    await assert.rejects(build(agentPath), { code: "kernel.invalid" });
    mkdirSync(join(root, "cache/initramfs"), { recursive: true });
    assert.deepEqual(readdirSync(join(root, "cache/initramfs")), []);
  });
});
