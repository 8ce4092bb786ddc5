// Forks of a running VM: that of the first fork starts while the source's machine goes on. Whichever fails, nothing is left of the
// forks, and the source runs on.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate as others } from "node:timers/promises";
import { BangerError } from "../../lib/errors.ts";
import { snapshotFiles } from "../disk-files.ts";
import { type Harness, harness, notDone, quiet, type Step } from "./testdata/harness.ts";

const vmId = "0123456789ab";
let home: Harness;
beforeEach(async () => {
  home = await harness();
  home.addRunning("box");
});
afterEach(() => home[Symbol.dispose]());

function handsOver(): void {
  const source = home.vms.get(vmId);
  assert.ok(source);
  source.handsOver = true;
}

const fork = (count = 1) => home.snapshots.fork({ source: "box", name: "kid", count }, quiet());

function assertOnlySourceRuns(): void {
  const { snapshots, vms } = home.context.state;
  assert.deepEqual(
    vms.list().map(({ name, state }) => [name, state]),
    [["box", "running"]],
  );
  const source = home.vms.get(vmId);
  assert.deepEqual([source?.gone, source?.paused, source?.frozen], [false, false, false]);
  assert.ok([...home.vms].every(([id, machine]) => id === vmId || machine.gone));
  assert.equal(home.standingBy, 0);
  // What is left is what the source's disks rest on.
  const base = vms.get(vmId)?.baseSnapshotId ?? undefined;
  assert.deepEqual(home.snapshotDirs(), base === undefined ? [] : [base]);
  assert.ok(snapshots.list().every((row) => row.complete && row.fingerprint === null));
}

test("the machine of a fork starts when the source is captured, beside its thaw", async () => {
  const started = Promise.withResolvers<void>();
  let captured = false;
  home.onStep = async (step) => {
    if (step === "finish-capture") captured = true;
    if (step === "restore") started.resolve();
    // Of the source: it waits for the fork, so both are under way.
    if (
      step === "thaw" &&
      !home.context.state.vms.list().some(({ name, state }) => name === "kid" && state === "running")
    )
      await started.promise;
    if (step === "restore" || step === "resume") assert.ok(captured, step);
  };
  const { vms } = await fork();
  assert.deepEqual(
    vms.map(({ id }) => home.context.state.vms.get(id)).map((row) => [row?.state, row?.autoRemove]),
    [["running", false]],
  );
});

test("no more than one machine starts before the source goes on", async () => {
  const source = home.vms.get(vmId);
  const stood: boolean[] = [];
  const started = Promise.withResolvers<void>();
  home.onStep = async (step) => {
    if (step === "thaw") await started.promise;
    if (step !== "restore") return;
    stood.push(source?.frozen === true);
    started.resolve();
  };
  await fork(3);
  assert.deepEqual(stood, [true, false, false]);
});

test("memory that is handed over has no file, and the VMM is there before the source stands still", async () => {
  handsOver();
  home.steps.length = 0;
  const { vms } = await fork();
  const order: Step[] = ["stand-by", "begin-capture", "freeze", "pause", "finish-capture", "restore"];
  const seen = home.steps.filter((step) => order.includes(step));
  // It is copied for the first time while the guest stops its processes.
  assert.deepEqual(seen.toSorted(), order.toSorted());
  assert.ok(seen.indexOf("stand-by") < seen.indexOf("freeze"));
  assert.ok(seen.indexOf("finish-capture") < seen.indexOf("restore"));
  const base = home.context.state.vms.get(vmId)?.baseSnapshotId ?? "";
  const { memoryFile, stateFile } = snapshotFiles(home.context.paths, base);
  assert.deepEqual([existsSync(memoryFile), existsSync(stateFile)], [false, false]);
  assert.deepEqual([home.context.state.snapshots.get(base)?.complete, home.standingBy], [true, 0]);
  assert.match(home.context.state.vms.get(vms[0]?.id ?? "")?.fingerprint ?? "", /^[0-9a-f]{64}$/);
});

test("disks are switched beside the copy, and not at all for a copy that cannot begin", async () => {
  handsOver();
  await fork();
  // What is asked of QEMU first is done first: its state, while memory is copied.
  assert.ok(home.steps.indexOf("finish-capture") < home.steps.indexOf("switch-disks"), home.steps.join());
  home.steps.length = 0;
  failAt("begin-capture", notDone());
  await assert.rejects(home.snapshots.fork({ source: "box", name: "other" }, quiet()), { message: "not done" });
  assert.ok(!home.steps.includes("switch-disks"));
});

test("nothing stands still for a VMM that cannot be started", async () => {
  handsOver();
  failAt("stand-by", new BangerError("vmm.failed", "no"));
  await assert.rejects(fork(), { code: "vmm.failed", message: "no" });
  assert.ok(!home.steps.includes("freeze"));
  assertOnlySourceRuns();
});

test("a VMM that refuses what it is to wait for is no reason to boot from disks that were never frozen", async () => {
  handsOver();
  failAt("stand-by", new BangerError("snapshot.incompatible", "no"));
  let launched = 0;
  const launch = () => {
    launched++;
    throw new BangerError("vmm.failed", "not asked for");
  };
  Object.assign(home.context.driver, { launch });
  await assert.rejects(fork(), { code: "snapshot.incompatible", message: "no" });
  assert.equal(launched, 0);
  assertOnlySourceRuns();
});

test("a VMM that cannot be started because the source's has ended says that", async () => {
  handsOver();
  home.onStep = async (step) => {
    if (step !== "stand-by") return;
    await home.vms.get(vmId)?.machine.kill();
    throw new BangerError("snapshot.incompatible", "the memory is not there");
  };
  await assert.rejects(fork(), { code: "vmm.failed", message: "gone" });
});

test("a fork that is ended while it gets its memory says so, and not that its source could not be captured", async () => {
  handsOver();
  home.onStep = async (step) => {
    if (step !== "freeze") return;
    const kid = home.context.state.vms.byName("kid");
    home.context.starting.get(kid?.id ?? "")?.abort(new BangerError("cancelled", "kid was ended"));
    await others();
    assert.equal(home.standingBy, 0);
  };
  await assert.rejects(fork(), { code: "cancelled", message: "kid was ended" });
  assertOnlySourceRuns();
});

test("several forks share a file, also of a source that could hand over", async () => {
  handsOver();
  await fork(2);
  assert.equal(home.steps.filter((step) => step === "restore").length, 2);
});

for (const count of [1, 2]) {
  for (const failing of ["begin-capture", "freeze", "pause", "switch-disks", "finish-capture"] as const) {
    test(`a source that cannot be captured (${failing}) has no forks, be they ${count}`, async () => {
      handsOver();
      failAt(failing, notDone());
      await assert.rejects(fork(count), { code: "snapshot.failed", message: "not done" });
      assertOnlySourceRuns();
    });
  }
}

for (const failing of ["restore", "thaw"] as const) {
  for (const how of ["by way of a file", "straight"]) {
    test(`a fork that cannot go on (${failing}) is no matter for the source, its memory handed over ${how}`, async () => {
      if (how === "straight") handsOver();
      failAt(failing, new BangerError("guest.failed", "no"), failing === "thaw" ? isOfFork : undefined);
      await assert.rejects(fork(), { code: "guest.failed", message: "no" });
      assertOnlySourceRuns();
    });
  }
}

test("a fork does not outlive a snapshot that cannot be recorded", async () => {
  const { snapshots } = home.context.state;
  const update = snapshots.update.bind(snapshots);
  let failed = 0;
  Object.assign(snapshots, {
    update: (...[id, change]: Parameters<typeof update>) => {
      if (change.pausedMs === undefined) return update(id, change);
      failed++;
      throw new BangerError("disk.full", "no space left");
    },
  });
  await assert.rejects(fork(), { code: "disk.full", message: "no space left" });
  assert.equal(failed, 1);
  assertOnlySourceRuns();
});

test("a fork that is cancelled while its machine starts leaves nothing", async () => {
  const controller = new AbortController();
  home.onStep = (step) => {
    if (step === "restore") controller.abort(new BangerError("cancelled", "enough"));
  };
  await assert.rejects(home.snapshots.fork({ source: "box" }, quiet(controller.signal)), { code: "cancelled" });
  assertOnlySourceRuns();
});

const isOfFork = () => home.steps.includes("restore") && home.vms.get(vmId)?.frozen === false;

function failAt(failing: Step, error: Error, when: () => boolean = () => true): void {
  home.onStep = (step) => {
    if (step === failing && when()) throw error;
  };
}
