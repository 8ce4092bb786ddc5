// Empty layers mean the same as those of qemu-img, never overwrite one, and are whole or not there.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { createLayer } from "./layer.ts";
import { smallDisk } from "./testdata/small-disk.ts";
import { assertSoundFileSystem, failsWith, gib, imageInfo, io, mib, never, temporary, tool } from "./testdata/tools.ts";

for (const sizeBytes of [64 * mib, 256 * mib, 8 * gib, 8 * gib + 512, 16 * 1024 * gib]) {
  for (const format of ["raw", "qcow2"] as const) {
    test(`an empty layer of ${sizeBytes} bytes above ${format} is what qemu-img makes`, async () => {
      using directory = temporary();
      const at = (name: string) => join(directory.path, name);
      tool("qemu-img", "create", "-q", "-f", format, at("base"), "64M");
      await createLayer(at("ours"), { sizeBytes, backing: { path: at("base"), format } }, never);
      const options = "extended_l2=on,lazy_refcounts=off";
      tool(
        "qemu-img",
        "create",
        "-q",
        "-u",
        "-f",
        "qcow2",
        "-o",
        options,
        "-b",
        at("base"),
        "-F",
        format,
        at("theirs"),
        String(sizeBytes),
      );
      const facts = (name: string) => {
        const { filename, "actual-size": _, ...rest } = imageInfo(at(name));
        assert.equal(filename, at(name));
        return rest;
      };
      assert.deepEqual(facts("ours"), facts("theirs"));
      assert.match(tool("qemu-img", "check", "-f", "qcow2", at("ours")), /No errors were found/);
      assert.equal(statSync(at("ours")).mode & 0o777, 0o600);
      assert.ok(statSync(at("ours")).blocks * 512 <= 64 * 1024);
    });
  }
}

test("reads show the backing file, writes stay in the layer, to the last byte", async () => {
  using directory = temporary();
  const [base, layer] = [join(directory.path, "a base, of: ünïcode"), join(directory.path, "layer")];
  writeFileSync(base, Buffer.alloc(mib, 7));
  truncateSync(base, gib);
  await createLayer(layer, { sizeBytes: gib, backing: { path: base, format: "raw" } }, never);
  io(layer, "qcow2", "read -P 7 0 1M", "read -P 0 1M 64k", "write -P 9 4k 4k", `write -P 8 ${gib - 4096} 4k`);
  io(layer, "qcow2", "read -P 7 0 4k", "read -P 9 4k 4k", "read -P 7 8k 1016k", `read -P 8 ${gib - 4096} 4k`);
  io(base, "raw", "read -P 7 0 1M", `read -P 0 ${gib - 4096} 4k`);
  assert.match(tool("qemu-img", "check", "-f", "qcow2", layer), /No errors were found/);
});

test("a layer that is there is not touched", async () => {
  using directory = temporary();
  const path = join(directory.path, "layer");
  writeFileSync(path, "of the guest");
  const options = { sizeBytes: gib, backing: { path: "/base", format: "raw" } } as const;
  await assert.rejects(createLayer(path, options, never), failsWith("snapshot.failed", /it exists already/));
  assert.equal(readFileSync(path, "utf8"), "of the guest");
  assert.deepEqual(readdirSync(directory.path), ["layer"]);
});

test("what no header can hold is refused", async () => {
  using directory = temporary();
  const backing = { path: "/base", format: "raw" } as const;
  const wrong = [
    { sizeBytes: 0, backing },
    { sizeBytes: 1000, backing },
    { sizeBytes: Number.NaN, backing },
    { sizeBytes: 512, backing: { ...backing, path: "base" } },
    { sizeBytes: 512, backing: { ...backing, path: "/ba\0se" } },
    { sizeBytes: 512, backing: { ...backing, path: `/${"x".repeat(1023)}` } },
  ];
  for (const options of wrong) {
    await assert.rejects(createLayer(join(directory.path, "layer"), options, never), failsWith("snapshot.failed"));
  }
  const reason = new Error("enough");
  const cancelled = { signal: AbortSignal.abort(reason) };
  await assert.rejects(createLayer(join(directory.path, "layer"), { sizeBytes: 512, backing }, cancelled), reason);
  assert.deepEqual(readdirSync(directory.path), []);
});

test("a full disk is said to be full and leaves nothing", async () => {
  await using disk = await smallDisk(1);
  const options = { sizeBytes: gib, backing: { path: "/base", format: "raw" } } as const;
  {
    using _filler = disk.fill(4096);
    await assert.rejects(
      createLayer(join(disk.path, "layer"), options, never),
      failsWith("disk.full", /no space left/),
    );
    assert.deepEqual(readdirSync(disk.path), ["filler"]);
  }
  await createLayer(join(disk.path, "layer"), options, never);
});

test("a killed process leaves only whole disks and layers under their names", async () => {
  using directory = temporary();
  for (const killAfter of [0, 2, 5]) {
    const home = join(directory.path, String(killAfter));
    mkdirSync(home);
    const script = join(import.meta.dirname, "testdata/disk-maker.ts");
    const child = spawn(process.execPath, [script, home], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    for await (const line of createInterface(child.stdout)) {
      if (Number(line) >= killAfter) child.kill("SIGKILL");
    }
    assert.deepEqual(await ended, [null, "SIGKILL"]);
    const names = readdirSync(home);
    const disks = names.filter((name) => name.endsWith(".ext4"));
    const layers = names.filter((name) => name.endsWith(".qcow2"));
    assert.ok(layers.length > killAfter, `${layers.length} layers`);
    for (const name of disks) assertSoundFileSystem(join(home, name));
    for (const name of layers) tool("qemu-img", "check", "-f", "qcow2", join(home, name));
  }
});
