// The tables: what each call does, and the errors that people see.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { openState, type State } from "./open.ts";
import { addParts, exampleOperation, exampleVm, exampleWorkspace } from "./testdata/rows.ts";

let dir: string;
let state: State;
let files = 0;
before(() => {
  dir = mkdtempSync(join(tmpdir(), "banger-state-"));
});
beforeEach(() => {
  state?.[Symbol.dispose]();
  state = openState(join(dir, `${files++}.db`));
  addParts(state);
});
after(() => {
  state[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});

test("a VM comes back as it went in", () => {
  const full = exampleVm({
    autoRemove: true,
    workspace: exampleWorkspace,
    bootId: "boot",
    startedAt: 7,
    reason: 'it said "no"',
  });
  state.vms.insert(full);
  assert.deepEqual(state.vms.get(full.id), full);
  assert.deepEqual(state.vms.byName(full.name), full);
  assert.equal(state.vms.get("none"), undefined);
  assert.equal(state.vms.byName("none"), undefined);
});

test("VMs are listed newest first", () => {
  for (const [id, createdAt] of Object.entries({ old: 1, new: 3, middle: 2 })) {
    state.vms.insert(exampleVm({ id, name: id, createdAt }));
  }
  assert.deepEqual(
    state.vms.list().map((vm) => vm.id),
    ["new", "middle", "old"],
  );
});

test("update changes the fields given and no other", () => {
  state.vms.insert(exampleVm());
  const change = { state: "running", startedAt: 9, workspace: null, bootId: "b" } as const;
  assert.deepEqual(state.vms.update("0123456789ab", change), exampleVm(change));
  assert.deepEqual(state.vms.update("0123456789ab", {}), exampleVm(change));
  assert.throws(() => state.vms.update("none", { state: "running" }), { code: "vm.not-found" });
});

test("a name is taken once", () => {
  state.vms.insert(exampleVm());
  state.vms.insert(exampleVm({ id: "other", name: "other" }));
  const taken = { code: "vm.name-taken", message: 'a VM named "swift-otter" exists already' };
  assert.throws(() => state.vms.insert(exampleVm({ id: "third" })), taken);
  assert.throws(() => state.vms.update("other", { name: "swift-otter" }), taken);
});

test("a removed VM frees its name", () => {
  state.vms.insert(exampleVm());
  assert.equal(state.vms.remove("0123456789ab"), true);
  assert.equal(state.vms.remove("0123456789ab"), false);
  state.vms.insert(exampleVm({ id: "other" }));
});

test("an image or kernel that a VM is made of stays", () => {
  state.vms.insert(exampleVm());
  assert.throws(() => state.images.remove("aaaa"), {
    code: "image.in-use",
    message: 'image "debian-bookworm" is used by a VM',
  });
  assert.throws(() => state.kernels.remove("bbbb"), { code: "kernel.in-use" });
  state.vms.remove("0123456789ab");
  assert.equal(state.images.remove("aaaa"), true);
  assert.equal(state.images.remove("aaaa"), false);
  assert.throws(() => state.vms.insert(exampleVm()), { code: "image.not-found" });
});

test("images and kernels have one name each", () => {
  const row = { id: "cccc", name: "mine", manifest: '{"a":1}', createdAt: 2000 };
  state.images.insert(row);
  assert.deepEqual(state.images.get("cccc"), row);
  assert.deepEqual(state.images.byName("mine"), row);
  assert.deepEqual(
    state.images.list().map((image) => image.name),
    ["mine", "debian-bookworm"],
  );
  assert.throws(() => state.images.insert({ ...row, id: "dddd" }), { code: "image.exists" });
  assert.throws(() => state.images.insert({ ...row, name: "again" }), { code: "image.exists" });
  assert.throws(() => state.images.rename("cccc", "debian-bookworm"), { code: "image.exists" });
  assert.throws(() => state.kernels.rename("none", "x"), { code: "kernel.not-found" });
  state.images.rename("cccc", "yours");
  assert.equal(state.images.byName("mine"), undefined);
  assert.equal(state.images.byName("yours")?.id, "cccc");
  state.images.describe("cccc", '{"of":"another"}');
  assert.deepEqual(state.images.get("cccc"), { ...row, name: "yours", manifest: '{"of":"another"}' });
  assert.throws(() => state.images.describe("none", "{}"), { code: "image.not-found" });
});

test("an operation is saved again and again under its id", () => {
  state.operations.save(exampleOperation());
  const done = exampleOperation({ stage: "", done: true, updatedAt: 30, result: { name: "swift-otter" } });
  state.operations.save(done);
  assert.deepEqual(state.operations.get(done.id), done);
  assert.deepEqual(state.operations.list(), [done]);
  assert.equal(state.operations.get("none"), undefined);
});

test("operations that an earlier daemon left open are marked as interrupted", () => {
  const done = exampleOperation({ id: "op-done", done: true, startedAt: 1 });
  state.operations.save(done);
  state.operations.save(exampleOperation({ id: "op-open" }));
  const [marked, ...more] = state.operations.markInterrupted(99);
  assert.deepEqual(more, []);
  assert.equal(marked?.error?.code, "operation.interrupted");
  assert.equal(marked?.updatedAt, 99);
  assert.deepEqual(state.operations.list(), [marked, done]);
  assert.deepEqual(state.operations.markInterrupted(100), []);
});

test("only operations that ended long ago are forgotten", () => {
  state.operations.save(exampleOperation({ id: "op-old", done: true, updatedAt: 5 }));
  state.operations.save(exampleOperation({ id: "op-open", done: false, updatedAt: 5 }));
  state.operations.save(exampleOperation({ id: "op-new", done: true, updatedAt: 15 }));
  assert.equal(state.operations.removeOlderThan(10), 1);
  assert.deepEqual(
    state.operations
      .list()
      .map((operation) => operation.id)
      .toSorted(),
    ["op-new", "op-open"],
  );
});
