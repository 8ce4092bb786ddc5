// Captures of real machines and restores from them, with guests that count: what goes on from the same memory counts on.
import assert from "node:assert/strict";
import {
  existsSync,
  linkSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import { createLayer } from "../../src/disk/layer.ts";
import { BangerError } from "../../src/lib/errors.ts";
import type { Machine, MachineCapture } from "../../src/vmm/driver.ts";
import { QemuMachine } from "../../src/vmm/qemu/machine.ts";
import { type QemuBench, benchTest, counted, countsTo, failure, runtimeFiles } from "../support/qemu-bench.ts";

const signal = new AbortController().signal;
const mib = 1024 * 1024;

const filesOf = (bench: QemuBench, name: string): MachineCapture => ({
  memoryFile: join(bench.root, `${name}.memory`),
  stateFile: join(bench.root, `${name}.state`),
});

/** Captures a machine that goes on afterwards. */
async function capture(bench: QemuBench, machine: Machine, name: string): Promise<MachineCapture> {
  const files = filesOf(bench, name);
  await using begun = await machine.beginCapture(files, { signal });
  await machine.pause();
  await begun.finish({ signal });
  await machine.resume();
  return files;
}

describe("captures", { concurrency: false }, () => {
  benchTest("a machine is captured while it runs, and two others go on from there", async (bench) => {
    const spec = bench.spec("count", { vcpus: 2 });
    await using source = await bench.launchCounting(spec);
    await countsTo(spec, 30);
    const files = filesOf(bench, "first");
    await using begun = await source.beginCapture(files, { signal });
    const unpaused = await failure(begun.finish({ signal }));
    assert.match(unpaused.message, /is not paused/);
    await source.pause();
    await source.pause();
    assert.equal(await source.isPaused(), true);
    const { copiedBytes } = await begun.finish({ signal });
    assert.equal(await source.isPaused(), true);
    const at = counted(spec).at(-1) ?? 0;
    await source.resume();
    await source.resume();
    assert.equal(await source.isPaused(), false);

    for (const file of [files.memoryFile, files.stateFile]) assert.equal(statSync(file).mode & 0o777, 0o600);
    const memory = statSync(files.memoryFile);
    assert.equal(memory.size, 128 * mib);
    assert.ok(copiedBytes > 0 && memory.blocks * 512 < 100 * mib, `${copiedBytes} copied, ${memory.blocks} blocks`);

    for (const vmId of ["second", "third"]) {
      const again = bench.spec("count", { vmId, vcpus: 2, kernel: "/nowhere", initrd: "/nowhere" });
      const { machine, timings } = await bench.driver.restore(again, files, { signal });
      await using _ = machine;
      assert.ok(timings.spawnMs > 0 && timings.loadMs >= timings.spawnMs, JSON.stringify(timings));
      assert.equal(await machine.isPaused(), true);
      assert.deepEqual(counted(again), []);
      await machine.resume();
      const numbers = await countsTo(again, 30);
      // The last line before may have been on its way to the console.
      assert.ok([at + 1, at + 2].includes(numbers[0] ?? 0), `${numbers[0]} does not follow ${at}`);
      await machine[Symbol.asyncDispose]();

      await using found = await bench.newDriver().find(vmId, again.dir, { signal });
      assert.equal(found?.pid, machine.pid);
      assert.equal((await bench.driver.list(bench.homeId)).get(vmId), machine.pid);
      await found.kill();
      assert.equal((await found.exited).expected, true);
      assert.deepEqual(runtimeFiles(again.dir), []);
    }
    await countsTo(spec, at + 30);
    await source.kill();
  });

  benchTest(
    "a capture of a machine that came from a capture is whole, also when the former one is gone",
    async (bench) => {
      let spec = bench.spec("count");
      let machine: Machine = await bench.launchCounting(spec);
      for (let round = 1; round <= 3; round++) {
        const last = (await countsTo(spec, 30)).at(-1) ?? 0;
        const files = await capture(bench, machine, `round${round}`);
        await machine.kill();
        await machine[Symbol.asyncDispose]();
        spec = bench.spec("count", { vmId: `vm${round}` });
        ({ machine } = await bench.driver.restore(spec, files, { signal }));
        for (const file of [files.memoryFile, files.stateFile]) rmSync(file);
        await machine.resume();
        const [next = 0] = await countsTo(spec, 1);
        assert.ok(next > last, `${next} after ${last}`);
      }
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    },
  );

  benchTest("memory beyond the hole below 4 GiB is captured, too", async (bench) => {
    const spec = bench.spec("count", { memoryMib: 4096 });
    await using source = await bench.launchCounting(spec);
    const [, before = 0] = await countsTo(spec, 30);
    const files = await capture(bench, source, "large");
    await source.kill();
    assert.equal(statSync(files.memoryFile).size, 4096 * mib);
    const again = bench.spec("count", { vmId: "again", memoryMib: 4096 });
    const { machine } = await bench.driver.restore(again, files, { signal });
    await using _ = machine;
    await machine.resume();
    const numbers = await countsTo(again, 30);
    assert.ok((numbers[0] ?? 0) > before);
    await machine.kill();
  });

  benchTest("what is no capture of this machine is refused with the reason, and nothing is left", async (bench) => {
    const spec = bench.spec("count");
    await using source = await bench.launchCounting(spec);
    await countsTo(spec, 1);
    const good = await capture(bench, source, "good");
    await source.kill();
    const state = readFileSync(good.stateFile);
    const other = (name: string, content: Buffer) => {
      const stateFile = join(bench.root, name);
      writeFileSync(stateFile, content);
      return { ...good, stateFile };
    };
    const short = join(bench.root, "short.memory");
    writeFileSync(short, "");
    truncateSync(short, 64 * mib);
    for (const [files, words] of [
      [other("truncated", state.subarray(0, state.length / 2)), /load of migration failed/],
      [other("empty", Buffer.alloc(0)), /load of migration failed/],
      [other("garbage", Buffer.from("no state at all")), /Not a migration stream|load of migration failed/],
      [{ ...good, memoryFile: short }, /its memory has 67108864 bytes, not 134217728/],
      [{ ...good, memoryFile: join(bench.root, "none") }, /ENOENT/],
      [{ ...good, stateFile: join(bench.root, "none") }, /ENOENT/],
    ] as const) {
      const again = bench.spec("count", { vmId: "again" });
      const error = await failure(bench.driver.restore(again, files, { signal }));
      assert.equal(error.code, "snapshot.incompatible", error.message);
      assert.match(error.message, words);
      assert.deepEqual(runtimeFiles(again.dir), []);
      assert.deepEqual(await bench.driver.list(bench.homeId), new Map());
    }
  });

  benchTest("an abort of a restore throws its reason and leaves nothing", async (bench) => {
    const spec = bench.spec("count");
    await using source = await bench.launchCounting(spec);
    await countsTo(spec, 1);
    const files = await capture(bench, source, "good");
    await source.kill();
    const cancel = new AbortController();
    const reason = new BangerError("cancelled", "no longer wanted");
    const restoring = bench.driver.restore(bench.spec("count", { vmId: "again" }), files, { signal: cancel.signal });
    cancel.abort(reason);
    assert.equal(await failure(restoring), reason);
    assert.deepEqual(await bench.driver.list(bench.homeId), new Map());
  });

  benchTest("a machine that ends while it is captured, and a capture that is given up", async (bench) => {
    const spec = bench.spec("count");
    await using source = await bench.launchCounting(spec);
    await countsTo(spec, 1);
    const reason = new BangerError("cancelled", "no longer wanted");
    const cancel = new AbortController();
    const beginning = source.beginCapture(filesOf(bench, "cancelled"), { signal: cancel.signal });
    cancel.abort(reason);
    assert.equal(await failure(beginning), reason);

    const files = filesOf(bench, "first");
    const begun = await source.beginCapture(files, { signal });
    const taken = await failure(source.beginCapture(files, { signal }));
    assert.equal(taken.code, "snapshot.failed");
    assert.match(taken.message, /EEXIST/);
    await begun[Symbol.asyncDispose]();

    await using last = await source.beginCapture(filesOf(bench, "last"), { signal });
    await source.pause();
    const finishing = failure(last.finish({ signal }));
    await source.kill();
    assert.equal((await finishing).code, "snapshot.failed");
    assert.equal((await failure(source.beginCapture(filesOf(bench, "late"), { signal }))).code, "snapshot.failed");
  });

  benchTest("a machine that was paused is still paused for the next daemon, and captured by it", async (bench) => {
    const spec = bench.spec("count");
    const first = await bench.launchCounting(spec);
    const last = (await countsTo(spec, 30)).length;
    await first.pause();
    await first[Symbol.asyncDispose]();
    await using found = await bench.newDriver().find(spec.vmId, spec.dir, { signal });
    assert.equal(await found?.isPaused(), true);
    assert.ok(found);
    await using begun = await found.beginCapture(filesOf(bench, "found"), { signal });
    await begun.finish({ signal });
    await found.resume();
    await countsTo(spec, last + 30);
    await found.kill();
  });
});

describe("disks of a running machine", { concurrency: false }, () => {
  benchTest("get new layers at one instant; a later daemon sees which", async (bench) => {
    const disk = (serial: string, readOnly: boolean) => {
      const path = join(bench.root, `${serial},1.ext4`);
      writeFileSync(path, "");
      truncateSync(path, mib);
      return { serial, path, readOnly, format: "raw" as const };
    };
    const [base, overlay, work] = [disk("base", true), disk("overlay", false), disk("work", false)];
    const spec = bench.spec("wait", { disks: [base, overlay, work] });
    const machine = await bench.driver.launch(spec, { signal });
    assert.ok(machine instanceof QemuMachine);
    const inDisk = async (serial: string, command: string) =>
      String(
        await machine.control.command("human-monitor-command", {
          "command-line": `qemu-io disk-${serial} "${command}"`,
        }),
      );
    await inDisk("work", "write -P 0x41 0 4096");
    assert.deepEqual(
      await machine.activeDisks(),
      new Map([
        ["overlay", overlay.path],
        ["work", work.path],
      ]),
    );

    await machine.pause();
    const top = (serial: string) => join(spec.dir, `${serial}.1.top.qcow2`);
    for (const { serial, path } of [overlay, work]) {
      await createLayer(top(serial), { sizeBytes: mib, backing: { path, format: "raw" } }, { signal });
    }
    const missing = [
      { serial: "overlay", path: top("overlay") },
      { serial: "work", path: join(spec.dir, "missing.qcow2") },
    ];
    assert.equal((await failure(machine.switchDisks("one", missing))).code, "snapshot.failed");
    assert.equal((await machine.activeDisks()).get("overlay"), overlay.path);
    await machine.switchDisks(
      "one",
      ["overlay", "work"].map((serial) => ({ serial, path: top(serial) })),
    );
    await machine.resume();
    await inDisk("work", "write -P 0x42 4096 4096");
    assert.doesNotMatch(await inDisk("work", "read -P 0x41 0 4096"), /failed/);
    const frozen = readFileSync(work.path);
    assert.equal(frozen[0], 0x41);
    assert.equal(frozen[4096], 0);
    await machine[Symbol.asyncDispose]();

    await using found = await bench.newDriver().find(spec.vmId, spec.dir, { signal });
    assert.deepEqual(
      await found?.activeDisks(),
      new Map([
        ["overlay", top("overlay")],
        ["work", top("work")],
      ]),
    );
    await found?.kill();
    assert.deepEqual(
      readdirSync(spec.dir)
        .filter((name) => name.endsWith(".qcow2"))
        .toSorted(),
      ["overlay.1.top.qcow2", "work.1.top.qcow2"],
    );
    assert.ok(existsSync(base.path));
  });
});

describe("a long chain of layers", () => {
  benchTest("whose lower layers have other names than QEMU knew is still told apart", async (bench) => {
    let below = { path: join(bench.root, "work.ext4"), format: "raw" as "raw" | "qcow2" };
    writeFileSync(below.path, "");
    truncateSync(below.path, mib);
    const spec = bench.spec("wait", { disks: [{ serial: "work", readOnly: false, ...below }] });
    await using machine = await bench.driver.launch(spec, { signal });
    await machine.pause();
    for (let layer = 0; layer < 40; layer++) {
      const frozen = join(bench.root, `frozen-${layer}-${"x".repeat(60)}`);
      linkSync(below.path, frozen);
      const path = join(spec.dir, `work.${layer}.qcow2`);
      await createLayer(path, { sizeBytes: mib, backing: { ...below, path: frozen } }, { signal });
      await machine.switchDisks(`at${layer}`, [{ serial: "work", path }]);
      below = { path, format: "qcow2" };
    }
    assert.deepEqual(await machine.activeDisks(), new Map([["work", below.path]]));
    await machine.kill();
  });
});

describe("shapes", () => {
  benchTest("are equal for what can be restored as each other, and only then", async (bench) => {
    const disk = (serial: string, path = "/d", readOnly = false) => ({
      serial,
      path,
      readOnly,
      format: "raw" as const,
    });
    const shape = (changes: object) => bench.driver.shape(bench.spec("wait", changes), { signal });
    const one = await shape({ disks: [disk("work")] });
    assert.match(one, /^QEMU emulator version \d/);
    assert.equal(await shape({ disks: [disk("work", "/other")], vmId: "other", kernel: "/k", initrd: "/i" }), one);
    for (const changes of [
      { disks: [] },
      { disks: [disk("overlay")] },
      { disks: [disk("work", "/d", true)] },
      { disks: [disk("work")], vcpus: 2 },
      { disks: [disk("work")], memoryMib: 256 },
    ]) {
      assert.notEqual(await shape(changes), one, JSON.stringify(changes));
    }
  });
});
