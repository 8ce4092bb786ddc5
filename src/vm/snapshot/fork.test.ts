// Forks, VMs made from snapshots, and restores: who gets which identity and which disks, and what is left when one fails.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { beforeEach, afterEach, test } from "node:test";
import { BangerError } from "../../lib/errors.ts";
import { readChain } from "../../disk/chain.ts";
import { snapshotFiles, vmDisk, writableSerials } from "../disk-files.ts";
import { removeVm } from "../remove.ts";
import { compactSnapshot } from "./compact.ts";
import { type Harness, harness, notDone, quiet } from "./testdata/harness.ts";

const vmId = "0123456789ab";
let home: Harness;
beforeEach(async () => {
  home = await harness();
  home.addRunning("box");
});
afterEach(() => home[Symbol.dispose]());

const row = (id: string) => home.context.state.vms.get(id);
const names = () =>
  home.context.state.vms
    .list()
    .map((vm) => vm.name)
    .toSorted();
const take = (name: string) => home.snapshots.create({ vm: "box", name }, quiet());

test("forks are machines of their own, above the same frozen disks", async () => {
  const { vms, pausedMs } = await home.snapshots.fork({ source: "box", count: 3, name: "kid" }, quiet());
  assert.ok(pausedMs >= 0);
  assert.deepEqual(names(), ["box", "kid-1", "kid-2", "kid-3"]);
  const base = row(vmId)?.baseSnapshotId;
  for (const { id } of vms) {
    const fork = row(id);
    assert.deepEqual([fork?.state, fork?.autoRemove, fork?.baseSnapshotId], ["running", false, base]);
    assert.equal(fork?.lastStart?.kind, "snapshot");
    const fake = home.vms.get(id);
    assert.deepEqual([fake?.identity, fake?.frozen, fake?.paused], [id, false, false]);
  }
  assert.equal(new Set(vms.map(({ id }) => row(id)?.hostKeyPublic)).size, 3);
  assert.equal(new Set(vms.map(({ id }) => row(id)?.bootId)).size, 3);
  // Its memory has done its service; the disks carry four VMs.
  assert.deepEqual(home.snapshots.list(), []);
  assert.deepEqual(home.snapshotDirs(), [base]);
  assert.ok(!existsSync(snapshotFiles(home.context.paths, base ?? "").memoryFile));
});

test("forks without a name are numbered", async () => {
  await home.snapshots.fork({ source: "box" }, quiet());
  await home.snapshots.fork({ source: "box", count: 2 }, quiet());
  assert.deepEqual(names(), ["box", "box-fork-1", "box-fork-2", "box-fork-3"]);
});

for (const failing of ["restore", "resume", "hello", "thaw"] as const) {
  test(`when one of the forks fails at ${failing}, none is kept and the source runs on`, async () => {
    let calls = 0;
    await take("base");
    home.onStep = (step) => {
      if (step === failing && ++calls === 3) throw new BangerError("guest.unreachable", "it does not answer");
    };
    await assert.rejects(home.snapshots.fork({ source: "base", count: 4, name: "kid" }, quiet()), {
      code: "guest.unreachable",
      message: /^one of 4 forks failed, so none was kept: /,
    });
    assert.deepEqual(names(), ["box"]);
    assert.ok([...home.vms].every(([id, fake]) => id === vmId || fake.gone));
    assert.deepEqual(home.snapshots.show("base").usedBy, ["box"]);
    assert.equal(row(vmId)?.state, "running");
  });
}

test("a cancelled fork leaves nothing", async () => {
  const controller = new AbortController();
  home.onStep = (step) => {
    if (step === "hello") controller.abort(new BangerError("cancelled", "enough"));
  };
  await assert.rejects(home.snapshots.fork({ source: "box", count: 2 }, quiet(controller.signal)), {
    code: "cancelled",
  });
  assert.deepEqual(names(), ["box"]);
});

test("a guest that is not the one that was captured is no fork", async () => {
  await take("base");
  home.context.state.snapshots.update(home.snapshots.show("base").id, { vmId: "other" });
  await assert.rejects(home.snapshots.fork({ source: "base" }, quiet()), { code: "guest.protocol" });
  assert.deepEqual(names(), ["box"]);
});

test("a name that is taken is refused before anything stands still", async () => {
  home.steps.length = 0;
  await assert.rejects(home.snapshots.fork({ source: "box", name: "box" }, quiet()), { code: "vm.name-taken" });
  await assert.rejects(home.snapshots.fork({ source: "box", name: "Box" }, quiet()), { code: "vm.name-invalid" });
  assert.deepEqual(home.steps, []);
});

test("what is a VM and a snapshot by name is neither; an id says which", async () => {
  const snapshot = await take("box");
  await assert.rejects(home.snapshots.fork({ source: "box" }, quiet()), {
    code: "snapshot.ambiguous",
    hint: `banger vm fork ${vmId}  # the VM; or the snapshot: banger vm fork ${snapshot.id}`,
  });
  await home.snapshots.fork({ source: snapshot.id, name: "kid" }, quiet());
  await assert.rejects(home.snapshots.fork({ source: "nothing" }, quiet()), { code: "vm.not-found" });
  assert.deepEqual(names(), ["box", "kid"]);
});

test("memory of another VMM is not restored: the fork would boot from its disks", async () => {
  await take("base");
  home.context.driver.shape = async () => "another";
  home.steps.length = 0;
  // The harness has no machine that boots: that one is asked for is what counts.
  await assert.rejects(home.snapshots.fork({ source: "base" }, quiet()));
  assert.ok(!home.steps.includes("restore"));
  assert.deepEqual(names(), ["box"]);
});

test("a VM from a snapshot has the snapshot's disks and what was asked for", async () => {
  await take("base");
  const made = await home.snapshots.createVm({ from: "base", name: "new", autoRemove: true }, quiet());
  assert.deepEqual([made.name, row(made.id)?.autoRemove, row(made.id)?.state], ["new", true, "running"]);
  const kept = await home.snapshots.createVm({ from: "base", name: "kept" }, quiet());
  assert.equal(row(kept.id)?.autoRemove, false);
  const still = await home.snapshots.createVm({ from: "base", name: "still", start: false }, quiet());
  assert.deepEqual([still.state, home.vms.has(still.id)], ["created", false]);
  await assert.rejects(home.snapshots.createVm({ from: "base", image: "x", vcpus: 2 }, quiet()), {
    code: "vm.spec-invalid",
    message: "image, vcpus cannot be given: the snapshot decides",
  });
});

test("a restore gives a VM the snapshot's disks and memory, and it stays itself", async () => {
  const first = await take("first");
  await take("second");
  const former = home.vms.get(vmId);
  await home.snapshots.restore("box", "first", quiet());
  assert.ok(former?.gone);
  const now = home.vms.get(vmId);
  assert.notEqual(now, former);
  assert.deepEqual([now?.identity, now?.frozen], [vmId, false]);
  assert.deepEqual([row(vmId)?.baseSnapshotId, row(vmId)?.diskEpoch, row(vmId)?.state], [first.id, 3, "running"]);
  assert.deepEqual(home.diskFiles(vmId), [`overlay.3.${first.id}.qcow2`, `work.3.${first.id}.qcow2`]);
  // It goes on like any other.
  assert.equal((await take("third")).parent, first.id);
});

test("a snapshot of another VM is no way back", async () => {
  await take("base");
  await home.snapshots.fork({ source: "base", name: "kid" }, quiet());
  await assert.rejects(home.snapshots.restore("kid", "base", quiet()), {
    code: "snapshot.incompatible",
    hint: "banger vm fork base",
  });
  assert.equal(home.context.state.vms.byName("kid")?.state, "running");
});

test("a deleted snapshot loses its memory at once and its disks when nothing rests on them", async () => {
  const base = await take("base");
  await home.snapshots.fork({ source: "base", name: "kid" }, quiet());
  await home.snapshots.delete("base", { signal: quiet().signal });
  assert.throws(() => home.snapshots.show(base.id), { code: "snapshot.not-found" });
  const files = snapshotFiles(home.context.paths, base.id);
  assert.deepEqual([existsSync(files.memoryFile), existsSync(files.disk("overlay", "raw"))], [false, true]);
  for (const vm of home.context.state.vms.list()) await removeVm(home.context, vm);
  assert.deepEqual(home.snapshotDirs(), []);
});

test("a snapshot that is deleted while it is forked stays until that is over", async () => {
  const base = await take("base");
  home.onStep = async (step) => {
    if (step === "restore") {
      home.onStep = () => {};
      await home.snapshots.delete("base", { signal: quiet().signal });
      assert.ok(existsSync(snapshotFiles(home.context.paths, base.id).memoryFile));
    }
  };
  await home.snapshots.fork({ source: "base", name: "kid" }, quiet());
  assert.ok(!existsSync(snapshotFiles(home.context.paths, base.id).memoryFile));
});

test("layers are merged when there are many: same names, same content, and nothing below", async () => {
  for (const name of ["one", "two", "three", "four"]) await take(name);
  const four = home.snapshots.show("four");
  const files = snapshotFiles(home.context.paths, four.id);
  const depth = async () => (await readChain(files.disk("work", "qcow2"), "qcow2")).length;
  assert.equal(await depth(), 4);
  const { signal } = quiet();
  await compactSnapshot(home.context, four.id, { signal, limit: 4 });
  assert.equal(home.snapshots.show("four").parent, home.snapshots.show("three").id);
  for (const name of ["one", "two", "three"]) await home.snapshots.delete(name, { signal });
  assert.equal(home.snapshotDirs().length, 4);
  await compactSnapshot(home.context, four.id, { signal, limit: 3 });
  assert.equal(await depth(), 2);
  assert.equal(home.snapshots.show("four").parent, null);
  assert.deepEqual(home.snapshotDirs(), [four.id]);
  // Its machine has open what was there before.
  assert.deepEqual(home.vms.get(vmId)?.rebased, [
    [four.id, writableSerials.map((serial) => files.disk(serial, "raw"))],
  ]);
  // The VM's own layer rests on the name that it knew; new ones on the whole file.
  const top = row(vmId);
  assert.ok(top);
  const below = (await readChain(vmDisk(home.context.paths, top, "work").path, "qcow2")).map((layer) => layer.path);
  assert.deepEqual(below.slice(1), [files.disk("work", "qcow2"), files.disk("work", "raw")]);
  const { vms } = await home.snapshots.fork({ source: "four", name: "kid" }, quiet());
  const kid = row(vms[0]?.id ?? "");
  assert.ok(kid);
  const chain = await readChain(vmDisk(home.context.paths, kid, "work").path, "qcow2");
  assert.deepEqual(
    chain.slice(1).map((layer) => layer.path),
    [files.disk("work", "raw")],
  );
});

test("merging that fails changes nothing and can be done again", async () => {
  for (const name of ["one", "two", "three"]) await take(name);
  const { id, parent } = home.snapshots.show("three");
  const cancelled = new AbortController();
  cancelled.abort(notDone());
  await assert.rejects(compactSnapshot(home.context, id, { signal: cancelled.signal, limit: 1 }));
  assert.equal(home.snapshots.show("three").parent, parent);
  await compactSnapshot(home.context, id, { signal: quiet().signal, limit: 1 });
  assert.equal(home.snapshots.show("three").parent, null);
});

test("a machine that keeps its layers keeps nobody from merging them", async () => {
  for (const name of ["one", "two", "three"]) await take(name);
  home.onStep = (step) => {
    if (step === "rebase-disks") throw new BangerError("vmm.failed", "busy");
  };
  await compactSnapshot(home.context, home.snapshots.show("three").id, { signal: quiet().signal, limit: 1 });
  assert.equal(home.snapshots.show("three").parent, null);
  assert.equal(row(vmId)?.state, "running");
});
