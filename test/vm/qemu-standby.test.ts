// VMMs that are there before the capture they go on from is complete: what is written meanwhile is theirs.
import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import type { Machine, MachineCapture } from "../../src/vmm/driver.ts";
import { type QemuBench, benchTest, counted, countsTo, failure, runtimeFiles } from "../support/qemu-bench.ts";

const signal = new AbortController().signal;
const mib = 1024 * 1024;

const filesOf = (bench: QemuBench): MachineCapture => ({
  memoryFile: join(bench.root, "memory"),
  stateFile: join(bench.root, "state"),
});

/** Captures while a VMM stands by, which goes on from there; says how far the source had counted. */
async function captureFor(
  bench: QemuBench,
  meanwhile: (standbyPid: number) => void = () => {},
  files = filesOf(bench),
) {
  const spec = bench.spec("count");
  await using source = await bench.launchCounting(spec);
  const before = (await countsTo(spec, 1)).at(-1) ?? 0;
  await using begun = await source.beginCapture(files, { signal });
  const again = bench.spec("count", { vmId: "again" });
  await using standby = await bench.driver.standBy(again, files, { signal, memoryChanges: true });
  const standbyPid = (await bench.driver.list(bench.homeId)).get("again") ?? 0;
  await countsTo(spec, before + 30);
  meanwhile(standbyPid);
  await source.pause();
  await begun.finish({ signal });
  const at = counted(spec).at(-1) ?? 0;
  const { machine, timings } = await standby.restore({ signal });
  assert.ok(timings.loadMs >= timings.spawnMs, JSON.stringify(timings));
  await source.kill();
  return { machine, again, at, standbyPid };
}

/** A machine that came from a capture, which is at `filesOf`. */
async function restored(bench: QemuBench) {
  const booted = bench.spec("count", { vmId: "booted" });
  await using source = await bench.launchCounting(booted);
  await countsTo(booted, 5);
  const files = filesOf(bench);
  await using begun = await source.beginCapture(files, { signal });
  await source.pause();
  await begun.finish({ signal });
  await source.kill();
  const spec = bench.spec("count", { vmId: "restored" });
  const { machine } = await bench.driver.restore(spec, files, { signal });
  await machine.resume();
  await countsTo(spec, 1);
  return { machine, spec };
}

async function goesOnFrom(at: number, machine: Machine, spec: Parameters<typeof countsTo>[0]): Promise<void> {
  await machine.resume();
  const numbers = await countsTo(spec, 5);
  // The last line before may have been on its way to the console.
  assert.ok([at + 1, at + 2].includes(numbers[0] ?? 0), `${numbers[0]} does not follow ${at}`);
  await machine.kill();
  await machine[Symbol.asyncDispose]();
  assert.deepEqual(runtimeFiles(spec.dir), []);
}

/** Writes what is there over itself: a page of the process's own, as if the VMM had written to it. */
function writeToMemory(pid: number, file: string): void {
  const line = readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .find((one) => one.endsWith(file));
  const start = Number.parseInt(line?.split("-")[0] ?? "", 16);
  const memory = openSync(`/proc/${pid}/mem`, "r+");
  const byte = Buffer.alloc(1);
  assert.equal(readSync(memory, byte, 0, 1, start), 1);
  assert.equal(writeSync(memory, byte, 0, 1, start), 1);
  closeSync(memory);
}

describe("VMMs that stand by", { concurrency: false }, () => {
  benchTest("one goes on from what was captured after it was there", async (bench) => {
    const { machine, again, at, standbyPid } = await captureFor(bench);
    assert.equal(machine.pid, standbyPid);
    await goesOnFrom(at, machine, again);
  });

  benchTest("one goes on although its memory file lies behind a link, as a home may", async (bench) => {
    const link = join(bench.root, "link");
    symlinkSync(bench.root, link);
    const files = { memoryFile: join(link, "memory"), stateFile: join(link, "state") };
    const { machine, again, at, standbyPid } = await captureFor(bench, undefined, files);
    assert.equal(machine.pid, standbyPid);
    await goesOnFrom(at, machine, again);
  });

  benchTest("one that has written to the memory is replaced, as it would not see all of it", async (bench) => {
    const write = (pid: number) => writeToMemory(pid, filesOf(bench).memoryFile);
    const { machine, again, at, standbyPid } = await captureFor(bench, write);
    assert.notEqual(machine.pid, standbyPid);
    assert.deepEqual(await bench.driver.list(bench.homeId), new Map([["again", machine.pid]]));
    await goesOnFrom(at, machine, again);
  });

  benchTest("one that is not needed leaves nothing, and one without files is refused", async (bench) => {
    const spec = bench.spec("count");
    await using source = await bench.launchCounting(spec);
    await countsTo(spec, 1);
    const again = bench.spec("count", { vmId: "again" });
    const files = filesOf(bench);
    const early = await failure(bench.driver.standBy(again, files, { signal, memoryChanges: true }));
    assert.equal(early.code, "snapshot.incompatible");
    await using _begun = await source.beginCapture(files, { signal });
    const standby = await bench.driver.standBy(again, files, { signal, memoryChanges: true });
    await standby[Symbol.asyncDispose]();
    await standby[Symbol.asyncDispose]();
    await assert.rejects(standby.restore({ signal }), { code: "internal" });
    assert.deepEqual(runtimeFiles(again.dir), []);
    await source.kill();
    assert.deepEqual(await bench.driver.list(bench.homeId), new Map());
  });

  benchTest(
    "memory goes straight to a VMM that maps the same file, also when that has lost its name",
    async (bench) => {
      let source = await restored(bench);
      // From a VM that came from a template, from a fork of that one, and from one of those whose template goes, and is another one then.
      for (const [vmId, meanwhile] of [
        ["first", () => {}],
        ["second", () => {}],
        ["third", () => rmSync(filesOf(bench).memoryFile)],
        ["fourth", () => writeFileSync(filesOf(bench).memoryFile, Buffer.alloc(128 * mib))],
      ] as const) {
        const stateFile = join(bench.root, `${vmId}.state`);
        const handOver = await source.machine.beginHandOver(stateFile, { signal });
        assert.ok(handOver);
        meanwhile();
        const spec = bench.spec("count", { vmId });
        await using standby = await bench.driver.standBy(spec, handOver.capture, { signal, memoryChanges: false });
        await using begun = await handOver.to(standby, { signal });
        await countsTo(source.spec, counted(source.spec).length + 20);
        assert.match((await failure(begun.finish({ signal }))).message, /is not paused/);
        await source.machine.pause();
        const { copiedBytes } = await begun.finish({ signal });
        assert.ok(copiedBytes > 0 && copiedBytes < 32 * mib, `${copiedBytes}`);
        const at = counted(source.spec).at(-1) ?? 0;
        const { machine } = await standby.restore({ signal });
        rmSync(stateFile);
        await source.machine.resume();
        await machine.resume();
        const numbers = await countsTo(spec, 5);
        assert.ok([at + 1, at + 2].includes(numbers[0] ?? 0), `${numbers[0]} does not follow ${at}`);
        // What one of them does afterwards is no matter for the other.
        await countsTo(source.spec, counted(source.spec).length + 20);
        await source.machine.kill();
        await source.machine[Symbol.asyncDispose]();
        source = { machine, spec };
      }
      await source.machine.kill();
      await source.machine[Symbol.asyncDispose]();
    },
  );

  benchTest("a VMM that ends while it is given memory is named, and not the one that gives it", async (bench) => {
    const source = await restored(bench);
    const handOver = await source.machine.beginHandOver(join(bench.root, "next.state"), { signal });
    assert.ok(handOver);
    const again = bench.spec("count", { vmId: "again" });
    await using standby = await bench.driver.standBy(again, handOver.capture, { signal, memoryChanges: false });
    await using begun = await handOver.to(standby, { signal });
    await source.machine.pause();
    await bench.driver.killOrphan("again", bench.homeId, standby.pid);
    for (const work of [() => begun.finish({ signal }), () => handOver.to(standby, { signal })]) {
      const { code, message } = await failure(work());
      assert.deepEqual([code, message], ["vmm.failed", 'the VMM that was to have the memory of "restored" ended']);
    }
    await source.machine.kill();
    await source.machine[Symbol.asyncDispose]();
  });

  benchTest("memory goes to no VMM that maps another file, and from none that was booted", async (bench) => {
    await using booted = await bench.launchCounting(bench.spec("count", { vmId: "booted" }));
    assert.equal(await booted.beginHandOver(join(bench.root, "none"), { signal }), undefined);
    assert.ok(!existsSync(join(bench.root, "none")));
    await booted.kill();
    const source = await restored(bench);
    const stateFile = join(bench.root, "next.state");
    const handOver = await source.machine.beginHandOver(stateFile, { signal });
    assert.ok(handOver);
    const memoryFile = join(bench.root, "other");
    writeFileSync(memoryFile, Buffer.alloc(128 * mib));
    const again = bench.spec("count", { vmId: "again" });
    const other = { ...handOver.capture, memoryFile };
    await using standby = await bench.driver.standBy(again, other, { signal, memoryChanges: false });
    const error = await failure(handOver.to(standby, { signal }));
    assert.equal(error.code, "snapshot.failed");
    assert.match(error.message, /does not map the memory file/);
    await source.machine.kill();
    await source.machine[Symbol.asyncDispose]();
  });
});
