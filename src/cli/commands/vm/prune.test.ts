// vm prune: what it removes, and that it asks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runFake } from "../../testing/run-fake.ts";
import { fakeVm } from "../../../api/testdata/vm-record.ts";

const states = ["running", "paused", "starting", "stopping", "stopped", "created", "broken"] as const;
const vms = states.map((state) => fakeVm(state, { state }));
const replies = {
  "vm.list": () => ({ vms }),
  "vm.show": ({ vm }: Record<string, unknown>) => vms.find(({ id }) => id === vm),
  "vm.delete": () => ({}),
};
const deleted = (calls: { name: string; params: Record<string, unknown> }[]) =>
  calls.filter(({ name }) => name === "vm.delete").map(({ params }) => params);

test("only what is at rest, and the daemon is told to look again", async () => {
  const ran = await runFake(["vm", "prune", "--force"], { replies });
  assert.deepEqual([ran.code, ran.stdout], [0, "stopped\ncreated\nbroken\n"]);
  assert.deepEqual(
    deleted(ran.calls),
    ["stopped", "created", "broken"].map((name) => ({ vm: `id-${name}`, onlyIdle: true })),
  );
});

test("without a terminal it does not ask, and removes nothing; --dry-run only lists", async () => {
  const ran = await runFake(["vm", "prune"], { replies });
  assert.equal(ran.code, 2);
  assert.match(ran.stderr, /banger vm prune --force/);
  const dry = await runFake(["vm", "prune", "--dry-run"], { replies });
  assert.match(dry.stdout, /^ID +NAME +STATE/);
  const ids = await runFake(["vm", "prune", "--dry-run", "-q"], { replies });
  assert.equal(ids.stdout, "id-stopped\nid-created\nid-broken\n");
  assert.deepEqual([...deleted(ran.calls), ...deleted(dry.calls), ...deleted(ids.calls)], []);
});
