// Changes are told after they are in the database, once, and to those who still listen.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { VmEvent } from "../api/vm-record-methods.ts";
import { openState, type State } from "../state/open.ts";
import { addParts, exampleVm } from "../state/testdata/rows.ts";
import { VmChanges } from "./changes.ts";

let dir: string;
let state: State;
let changes: VmChanges;
let seen: string[];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "banger-changes-"));
  state = openState(join(dir, "banger.db"));
  addParts(state);
  changes = new VmChanges(state.vms);
  seen = [];
});
afterEach(() => {
  state[Symbol.dispose]();
  rmSync(dir, { recursive: true });
});
const listen = () => changes.listen(({ kind, vm }) => seen.push(`${vm?.name} ${kind} ${vm?.state}`));
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test("each kind of change, and nothing for a write that changes nothing", async () => {
  using _listener = listen();
  const vms = changes.observed();
  const { id } = exampleVm();
  const steps: [() => void, string[]][] = [
    [() => vms.insert(exampleVm()), ["swift-otter created created"]],
    [() => vms.update(id, { state: "created" }), []],
    [() => vms.update(id, { state: "running", bootId: "b" }), ["swift-otter state running"]],
    [() => vms.update(id, { name: "web", labels: { a: "1" } }), ["web renamed running", "web labels running"]],
    [() => vms.update(id, { diskEpoch: 1 }), ["web disks running"]],
    [() => vms.remove(id), ["web deleted running"]],
    [() => vms.remove(id), []],
  ];
  for (const [step, expected] of steps) {
    step();
    await nextTurn();
    assert.deepEqual(seen.splice(0), expected);
  }
});

test("what is rolled back was no change", async () => {
  using _listener = listen();
  const vms = changes.observed();
  vms.insert(exampleVm());
  await nextTurn();
  seen.length = 0;
  assert.throws(() =>
    state.transaction(() => {
      vms.update(exampleVm().id, { state: "running" });
      throw new Error("undo");
    }),
  );
  await nextTurn();
  assert.deepEqual(seen, []);
});

test("a watch begins with a line of its own, sees its VM only, and ends with its client", async () => {
  const vms = changes.observed();
  vms.insert(exampleVm());
  vms.insert(exampleVm({ id: "ba9876543210", name: "other" }));
  await nextTurn();
  const client = new AbortController();
  const watch = changes.watch(exampleVm().id, client.signal);
  const next = async () => (await watch.next()).value as VmEvent | undefined;
  assert.equal((await next())?.kind, "subscribed");
  vms.update("ba9876543210", { state: "running" });
  vms.update(exampleVm().id, { state: "stopped", reason: "the VMM was killed" });
  assert.deepEqual((await next())?.vm, {
    id: exampleVm().id,
    name: "swift-otter",
    state: "stopped",
    reason: "the VMM was killed",
  });
  const last = watch.next();
  client.abort();
  assert.equal((await last).done, true);
  vms.update(exampleVm().id, { state: "running" });
  await nextTurn();
});

test("a watch of one VM ends with that VM", async () => {
  const vms = changes.observed();
  vms.insert(exampleVm());
  await nextTurn();
  const watch = changes.watch(exampleVm().id, new AbortController().signal);
  await watch.next();
  const deleted = watch.next();
  vms.remove(exampleVm().id);
  assert.equal(((await deleted).value as VmEvent).kind, "deleted");
  assert.equal((await watch.next()).done, true);
});
