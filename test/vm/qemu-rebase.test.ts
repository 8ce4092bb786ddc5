// Long chains of layers of machines that run: whole files take their place, and what is read and written stays the same.
import assert from "node:assert/strict";
import { readdirSync, readlinkSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { flattenChain } from "../../src/disk/flatten.ts";
import { createLayer } from "../../src/disk/layer.ts";
import { QemuMachine } from "../../src/vmm/qemu/machine.ts";
import { type QemuBench, benchTest, failure } from "../support/qemu-bench.ts";

const signal = new AbortController().signal;
const mib = 1024 * 1024;
const layers = 12;
const block = 4096;

/** A machine whose disk has gone through `layers` snapshots; before the n-th, n was written into its n-th block. */
async function deep(bench: QemuBench) {
  let below = { path: join(bench.root, "work.ext4"), format: "raw" as "raw" | "qcow2" };
  writeFileSync(below.path, "");
  truncateSync(below.path, mib);
  const spec = bench.spec("wait", { disks: [{ serial: "work", readOnly: false, ...below }] });
  const machine = await bench.driver.launch(spec, { signal });
  assert.ok(machine instanceof QemuMachine);
  const io = async (command: string) => {
    const line = { "command-line": `qemu-io disk-work "${command}"` };
    return String(await machine.control.command("human-monitor-command", line));
  };
  const paths: string[] = [];
  const step = async () => {
    const at = paths.length;
    await io(`write -P ${at + 1} ${at * block} ${block}`);
    const path = join(bench.root, `work.${at}.qcow2`);
    await createLayer(path, { sizeBytes: mib, backing: below }, { signal });
    await machine.pause();
    await machine.switchDisks(`s${at}`, [{ serial: "work", path }]);
    await machine.resume();
    paths.push(path);
    below = { path, format: "qcow2" };
  };
  for (let at = 0; at < layers; at++) await step();
  /** The content of the snapshot s`at`, in one file, and a layer above it under the old name; what it was merged of is gone. */
  const merge = async (at: number) => {
    const whole = join(bench.root, `whole-${at}`);
    const frozen = paths[at - 1];
    assert.ok(frozen !== undefined);
    await flattenChain(frozen, "qcow2", whole, { signal });
    for (const path of [join(bench.root, "work.ext4"), ...paths.slice(0, at)]) rmSync(path, { force: true });
    await createLayer(frozen, { sizeBytes: mib, backing: { path: whole, format: "raw" } }, { signal });
    return [{ serial: "work", path: whole }];
  };
  const readsAll = async (count: number) => {
    for (let at = 0; at < count; at++) {
      assert.doesNotMatch(await io(`read -P ${at + 1} ${at * block} ${block}`), /fail/i, `block ${at}`);
    }
  };
  const open = () => {
    const dir = `/proc/${machine.pid}/fd`;
    return readdirSync(dir)
      .map((fd) => readlinkSync(join(dir, fd)))
      .filter((path) => path.startsWith(bench.root) && /work\.|whole/.test(path))
      .map((path) => path.slice(bench.root.length + 1))
      .toSorted();
  };
  return { machine, io, step, merge, readsAll, open, paths };
}

describe("machines with many layers", { concurrency: false }, () => {
  benchTest("close what was merged, read the same and write on", async (bench) => {
    const { machine, io, step, merge, readsAll, open, paths } = await deep(bench);
    assert.equal(open().length, layers + 1);
    const top = await machine.activeDisks();
    await machine.rebaseDisks("s7", await merge(7));
    assert.deepEqual(
      open(),
      ["whole-7", ...paths.slice(7).map((path) => path.slice(bench.root.length + 1))].toSorted(),
    );
    await readsAll(layers);
    await io(`write -P 99 ${100 * block} ${block}`);
    assert.doesNotMatch(await io(`read -P 99 ${100 * block} ${block}`), /fail/i);
    assert.deepEqual(await machine.activeDisks(), top);

    // Again, with the layer that is written to, and with the whole file among what is merged.
    await step();
    await machine.rebaseDisks("s12", await merge(12));
    assert.deepEqual(open(), ["whole-12", "work.12.qcow2"]);
    await readsAll(layers + 1);
    // What the guest discards is given back to the host, as before.
    const used = () => statSync(join(bench.root, "work.12.qcow2")).blocks * 512;
    await io("write -P 7 512k 256k");
    await io("flush");
    const full = used();
    await io("discard 512k 256k");
    assert.ok(full - used() >= 256 * 1024, `${full} bytes were used, ${used()} still are`);
    await step();
    await readsAll(layers + 2);
    assert.doesNotMatch(await io(`read -P 99 ${100 * block} ${block}`), /fail/i);
    await machine.kill();
    await machine[Symbol.asyncDispose]();
  });

  benchTest("keep them when there is no whole file, or no such layer", async (bench) => {
    const { machine, merge, readsAll, open } = await deep(bench);
    const before = open();
    const missing = await failure(machine.rebaseDisks("s7", [{ serial: "work", path: join(bench.root, "missing") }]));
    assert.equal(missing.code, "vmm.failed");
    await machine.rebaseDisks("another", [{ serial: "work", path: join(bench.root, "missing") }]);
    assert.deepEqual(open(), before);
    await readsAll(layers);
    // Nothing of the attempt is in the way.
    await machine.rebaseDisks("s7", await merge(7));
    await readsAll(layers);
    await machine.kill();
    await machine[Symbol.asyncDispose]();
  });
});
