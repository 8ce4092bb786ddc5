// The tables of snapshots and of starts.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import type { StartRecord } from "../api/records.ts";
import { openState, type State } from "./open.ts";
import { addParts, exampleSnapshot, exampleVm, exampleWorkspace } from "./testdata/rows.ts";

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

test("a snapshot comes back as it went in", () => {
  const full = exampleSnapshot({
    workspace: exampleWorkspace,
    warm: true,
  });
  const bare = exampleSnapshot({ id: "6666", name: null, parentId: "5555", complete: false, fingerprint: null });
  state.snapshots.insert(full);
  state.snapshots.insert(bare);
  assert.deepEqual(state.snapshots.get("5555"), full);
  assert.deepEqual(state.snapshots.byName("base"), full);
  assert.deepEqual(state.snapshots.get("6666"), bare);
  assert.equal(state.snapshots.get("none"), undefined);
  assert.equal(state.snapshots.byName("none"), undefined);
});

test("snapshots are listed newest first, also those without a name", () => {
  for (const [id, createdAt] of Object.entries({ old: 1, new: 3, middle: 2 })) {
    state.snapshots.insert(exampleSnapshot({ id, name: null, createdAt }));
  }
  assert.deepEqual(
    state.snapshots.list().map((row) => row.id),
    ["new", "middle", "old"],
  );
});

test("update changes the fields given and no other", () => {
  state.snapshots.insert(exampleSnapshot());
  const change = { name: null, complete: false, pausedMs: 3 };
  assert.deepEqual(state.snapshots.update("5555", change), exampleSnapshot(change));
  assert.deepEqual(state.snapshots.update("5555", {}), exampleSnapshot(change));
  assert.throws(() => state.snapshots.update("none", { name: "x" }), { code: "snapshot.not-found" });
});

test("a name is taken once; none is taken by those without", () => {
  state.snapshots.insert(exampleSnapshot());
  const taken = { code: "snapshot.name-taken", message: 'a snapshot named "base" exists already' };
  assert.throws(() => state.snapshots.insert(exampleSnapshot({ id: "6666" })), taken);
  state.snapshots.insert(exampleSnapshot({ id: "7777", name: null }));
  state.snapshots.insert(exampleSnapshot({ id: "8888", name: null }));
  assert.throws(() => state.snapshots.update("7777", { name: "base" }), taken);
});

test("what a snapshot is made of stays, and what rests on it keeps it", () => {
  state.snapshots.insert(exampleSnapshot());
  state.snapshots.insert(exampleSnapshot({ id: "6666", name: "next", parentId: "5555" }));
  state.vms.insert(exampleVm({ baseSnapshotId: "6666" }));
  assert.throws(() => state.images.remove("aaaa"), { code: "image.in-use" });
  assert.throws(() => state.kernels.remove("bbbb"), { code: "kernel.in-use" });
  assert.throws(() => state.snapshots.remove("5555"), { code: "snapshot.failed" });
  assert.throws(() => state.snapshots.remove("6666"), { code: "snapshot.failed" });
  state.vms.update(exampleVm().id, { baseSnapshotId: null });
  assert.equal(state.snapshots.remove("6666"), true);
  assert.equal(state.snapshots.remove("5555"), true);
  assert.equal(state.snapshots.remove("5555"), false);
  assert.throws(() => state.snapshots.insert(exampleSnapshot({ parentId: "none" })), { code: "image.not-found" });
});

test("unused are those without a name on which nothing rests", () => {
  const unused = () => state.snapshots.unused().map((row) => row.id);
  state.snapshots.insert(exampleSnapshot({ id: "1111", name: null }));
  state.snapshots.insert(exampleSnapshot({ id: "2222", name: null, parentId: "1111" }));
  state.snapshots.insert(exampleSnapshot({ id: "3333", name: "named", parentId: "2222" }));
  state.snapshots.insert(exampleSnapshot({ id: "4444", name: null }));
  state.vms.insert(exampleVm({ baseSnapshotId: "4444" }));
  assert.deepEqual(unused(), []);
  state.vms.remove(exampleVm().id);
  assert.deepEqual(unused(), ["4444"]);
  state.snapshots.update("3333", { name: null });
  assert.deepEqual(unused().toSorted(), ["3333", "4444"]);
  state.snapshots.remove("3333");
  assert.deepEqual(unused().toSorted(), ["2222", "4444"]);
});

test("the last starts of each kind are kept, newest first", () => {
  const start = (kind: StartRecord["kind"], at: number): StartRecord => ({
    kind,
    reason: "",
    phases: [{ name: "spawn", ms: 1.5 }],
    totalMs: 1.5,
    at,
  });
  state.starts.add(start("cold", 0));
  for (let at = 1; at <= 203; at++) state.starts.add(start("template", at));
  const listed = state.starts.list();
  assert.deepEqual(listed[0], start("template", 203));
  assert.deepEqual(listed.at(-1), start("cold", 0));
  const templates = listed.filter(({ kind }) => kind === "template").map(({ at }) => at);
  assert.deepEqual([templates.length, templates[0], templates.at(-1)], [200, 203, 4]);
});
