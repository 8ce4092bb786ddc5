// The end of a pause: its record says paused, and the VMM is still there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { pauseVm } from "./pause.ts";
import { readPausedMemory } from "./paused-memory.ts";
import { harness, quiet } from "./snapshot/testdata/harness.ts";

test("a VMM that does not end leaves the VM paused, with its memory", async () => {
  using home = await harness();
  const { context } = home;
  home.addRunning("box");
  const row = context.state.vms.byName("box");
  const session = row && context.sessions.get(row.id);
  assert.ok(row && session);
  session.machine.kill = () => Promise.reject(new BangerError("vmm.failed", "it is still there"));
  await assert.rejects(pauseVm(context, row, session, { keepRunning: false }, quiet()), { code: "vmm.failed" });
  assert.equal(context.state.vms.get(row.id)?.state, "paused");
  assert.notEqual(await readPausedMemory(context.paths, row.id), undefined);
});
