// Snapshots of running VMs: the order of the steps, and a source that is usable whichever of them fails. Files and database are real.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { basename } from "node:path";
import { describe, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { snapshotFiles, vmDisk, writableSerials } from "../disk-files.ts";
import { adoptDisks } from "./frozen-disks.ts";
import { type FakeVm, type Harness, harness, notDone, quiet, type Step } from "./testdata/harness.ts";

const vmId = "0123456789ab";

/** The guest runs, and the record, the machine and the directory say the same about its disks. */
function assertUsable(home: Harness, source: FakeVm): void {
  const row = home.context.state.vms.get(vmId);
  assert.ok(row);
  assert.deepEqual([source.paused, source.frozen, source.gone], [false, false, false]);
  assert.equal(row.state, "running");
  const named = writableSerials.map((serial) => vmDisk(home.context.paths, row, serial).path);
  assert.deepEqual([...source.disks.values()], named);
  assert.ok(named.every((path) => existsSync(path)));
  assert.deepEqual(home.diskFiles(vmId), named.map((path) => basename(path)).toSorted());
}

test("a snapshot takes memory and disks of one instant, and the VM writes to new layers afterwards", async () => {
  using home = await harness();
  const source = home.addRunning("box");
  const snapshot = await home.snapshots.create({ vm: "box" }, quiet());
  assert.equal(snapshot.name, "box-1");
  assert.deepEqual(
    [snapshot.memory, snapshot.parent, snapshot.usedBy, snapshot.vm],
    [true, null, ["box"], { id: vmId, name: "box" }],
  );
  assert.ok(snapshot.usedBytes > 0);
  assert.deepEqual(home.steps.slice(0, 3), ["begin-capture", "freeze", "pause"]);
  assert.deepEqual(home.steps.slice(3, 5).toSorted(), ["finish-capture", "switch-disks"]);
  assert.deepEqual(home.steps.slice(5), ["resume", "thaw"]);
  assertUsable(home, source);
  const { dir } = snapshotFiles(home.context.paths, snapshot.id);
  assert.deepEqual(readdirSync(dir).toSorted(), ["memory.img", "overlay.ext4", "state.bin", "work.ext4"]);
  const row = home.context.state.vms.get(vmId);
  assert.deepEqual([row?.baseSnapshotId, row?.diskEpoch], [snapshot.id, 1]);

  const next = await home.snapshots.create({ vm: "box" }, quiet());
  assert.deepEqual([next.name, next.parent], ["box-2", snapshot.id]);
  assertUsable(home, source);
});

describe("a step that fails leaves the VM running and no snapshot", () => {
  const steps: Step[] = ["begin-capture", "freeze", "pause", "finish-capture", "switch-disks", "resume", "thaw"];
  for (const failing of steps) {
    for (const effect of ["before", "after"] as const) {
      test(`${failing}, ${effect} it took effect`, async () => {
        using home = await harness();
        const source = home.addRunning("box");
        let failed = false;
        home.onStep = (step) => {
          if (step !== failing || failed) return;
          failed = true;
          throw effect === "before" ? notDone() : new BangerError("guest.unreachable", "the reply is lost");
        };
        const outcome = home.snapshots.create({ vm: "box", name: "keep" }, quiet());
        if (failing === "thaw" || failing === "resume") {
          // Asked again, and then all is well.
          assert.equal((await outcome).name, "keep");
          assertUsable(home, source);
          return;
        }
        await assert.rejects(outcome, { code: effect === "before" ? "snapshot.failed" : "guest.unreachable" });
        assertUsable(home, source);
        assert.deepEqual(home.snapshots.list(), []);
        const switched = [...source.disks.values()].every((path) => path.endsWith(".qcow2"));
        assert.equal(home.snapshotDirs().length, switched ? 1 : 0);
        for (const id of home.snapshotDirs()) assert.ok(!existsSync(snapshotFiles(home.context.paths, id).memoryFile));
        home.onStep = () => {};
        assert.equal((await home.snapshots.create({ vm: "box", name: "keep" }, quiet())).name, "keep");
        assertUsable(home, source);
      });
    }
  }
});

for (const failing of ["resume", "thaw"] as const) {
  test(`a VM that cannot go on, for want of ${failing}, is broken`, async () => {
    using home = await harness();
    home.addRunning("box");
    home.onStep = (step) => {
      if (step === failing) throw notDone();
    };
    await home.snapshots.create({ vm: "box" }, quiet()).catch(() => {});
    const row = home.context.state.vms.get(vmId);
    assert.deepEqual([row?.state, row?.reason], ["broken", "it could not go on after a snapshot: not done"]);
  });
}

for (const at of ["begin-capture", "freeze", "finish-capture"] as const) {
  test(`a cancellation at ${at} leaves the VM running`, async () => {
    using home = await harness();
    const source = home.addRunning("box");
    const controller = new AbortController();
    home.onStep = (step) => {
      if (step !== at) return;
      controller.abort(new BangerError("cancelled", "enough"));
      throw controller.signal.reason;
    };
    await assert.rejects(home.snapshots.create({ vm: "box" }, quiet(controller.signal)), { code: "cancelled" });
    assertUsable(home, source);
    assert.deepEqual(home.snapshots.list(), []);
  });
}

test("a VM that is ended meanwhile keeps its disks, and the snapshot says why there is none", async () => {
  for (const at of ["begin-capture", "freeze", "finish-capture", "thaw"] as const) {
    using home = await harness();
    home.addRunning("box");
    const session = home.context.sessions.get(vmId);
    assert.ok(session);
    home.onStep = async (step) => {
      if (step !== at) return;
      session.ending = true;
      await session.machine.kill();
      throw new BangerError("guest.unreachable", "gone");
    };
    const outcome = home.snapshots.create({ vm: "box" }, quiet());
    if (at === "thaw") await outcome;
    else await assert.rejects(outcome, { code: "cancelled", message: /"box" was ended while a snapshot of it/ });
    const row = home.context.state.vms.get(vmId);
    assert.ok(row);
    const named = writableSerials.map((serial) => basename(vmDisk(home.context.paths, row, serial).path));
    assert.deepEqual(home.diskFiles(vmId), named.toSorted());
    if (row.baseSnapshotId !== null) assert.ok(home.snapshotDirs().includes(row.baseSnapshotId));
  }
});

test("a record that cannot be written changes nothing", async () => {
  using home = await harness();
  const source = home.addRunning("box");
  const { vms } = home.context.state;
  const update = vms.update.bind(vms);
  vms.update = () => {
    throw new BangerError("disk.full", "no space left for the database");
  };
  await assert.rejects(home.snapshots.create({ vm: "box" }, quiet()), { code: "disk.full" });
  vms.update = update;
  assertUsable(home, source);
  assert.deepEqual(home.snapshotDirs(), []);
});

test("a name is taken once, and free again after a failure", async () => {
  using home = await harness();
  home.addRunning("box");
  await home.snapshots.create({ vm: "box", name: "one" }, quiet());
  await assert.rejects(home.snapshots.create({ vm: "box", name: "one" }, quiet()), {
    code: "snapshot.name-taken",
    hint: "banger vm snapshot show one",
  });
  await assert.rejects(home.snapshots.create({ vm: "box", name: "No" }, quiet()), { code: "vm.name-invalid" });
  assert.equal(home.snapshotDirs().length, 1);
});

test("a VM that is broken or on its way has no snapshot taken", async () => {
  using home = await harness();
  home.addRunning("box");
  for (const state of ["starting", "stopping", "broken"] as const) {
    home.context.state.vms.update(vmId, { state });
    await assert.rejects(home.snapshots.create({ vm: "box" }, quiet()), { code: "vm.wrong-state" });
  }
  assert.deepEqual(home.snapshotDirs(), []);
});

test("a machine whose VMM stands still is captured as it is, and not woken", async () => {
  using home = await harness();
  const source = home.addRunning("box");
  source.paused = source.frozen = true;
  home.context.state.vms.update(vmId, { state: "paused" });
  const snapshot = await home.snapshots.create({ vm: "box" }, quiet());
  assert.deepEqual([snapshot.memory, snapshot.pausedMs], [true, 0]);
  assert.deepEqual([source.paused, source.frozen], [true, true]);
  assert.deepEqual(home.steps.toSorted(), ["begin-capture", "finish-capture", "switch-disks"]);
});

test("a record that is behind its machine is put right before anything else", async () => {
  using home = await harness();
  const source = home.addRunning("box");
  const first = await home.snapshots.create({ vm: "box" }, quiet());
  home.context.state.vms.update(vmId, { baseSnapshotId: null, diskEpoch: 0 });
  const row = home.context.state.vms.get(vmId);
  assert.ok(row);
  const adopted = await adoptDisks(home.context, row, source.machine);
  assert.deepEqual([adopted.baseSnapshotId, adopted.diskEpoch], [first.id, 1]);
  source.disks.set("overlay", "/somewhere/else.qcow2");
  await assert.rejects(adoptDisks(home.context, adopted, source.machine), { code: "vmm.failed" });
});

test("memory says what its machine was started with, also after an upgrade of what is installed", async () => {
  using home = await harness();
  home.addRunning("box");
  home.context.state.vms.update(vmId, { fingerprint: "of an older VMM" });
  const { id } = await home.snapshots.create({ vm: "box" }, quiet());
  assert.equal(home.context.state.snapshots.get(id)?.fingerprint, "of an older VMM");
  // Forks of it can only boot, so its disks have to be whole without the memory.
  await home.snapshots.fork({ source: "box" }, quiet()).catch(() => {});
  assert.ok(!home.steps.includes("restore"));
  assert.equal(home.synced.at(-1), true);
});
