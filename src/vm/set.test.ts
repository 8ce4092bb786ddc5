// Other sizes for a VM: what happens in which order, and what is recorded whatever fails. Files and database are real.
import assert from "node:assert/strict";
import { statSync, truncateSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { mib } from "../lib/units.ts";
import { vmDisk } from "./disk-files.ts";
import { setVm } from "./set.ts";
import { type Harness, harness, quiet } from "./snapshot/testdata/harness.ts";

const vmId = "0123456789ab";
const spec = { vcpus: 1, memoryMib: 128, diskBytes: 64 * mib, overlayBytes: 64 * mib };
let home: Harness;
let calls: unknown[];
beforeEach(async () => {
  home = await harness();
  calls = [];
});
afterEach(() => home[Symbol.dispose]());

const row = () => {
  const found = home.context.state.vms.get(vmId);
  assert.ok(found);
  return found;
};
const set = (change: Parameters<typeof setVm>[2]) => setVm(home.context, row(), change, quiet());

/** A VM that runs; `fail` throws at a step. */
async function running(fail: (step: "disk" | "guest") => void = () => {}): Promise<void> {
  home.addRunning("box");
  const machine = { vcpus: 1, memoryMib: 128 };
  const lastStart = { kind: "cold" as const, reason: "", phases: [], totalMs: 1, at: 1, machine };
  home.context.state.vms.update(vmId, { spec, lastStart });
  const session = home.context.sessions.get(vmId);
  assert.ok(session);
  Object.assign(session.machine, {
    growDisk: async (serial: string, bytes: number) => {
      calls.push([serial, bytes / mib, row().spec.diskBytes / mib]);
      fail("disk");
      return bytes;
    },
  });
  Object.assign(await session.agent, {
    growDisks: async ({ workBytes, overlayBytes }: { workBytes: number; overlayBytes: number }) => {
      calls.push(["guest", workBytes / mib, overlayBytes / mib, row().spec.diskBytes / mib]);
      fail("guest");
    },
  });
}

test("a disk of a running VM grows before the record says so, and its file system afterwards", async () => {
  await running();
  assert.deepEqual(await set({ diskBytes: 100 * mib }), []);
  assert.deepEqual(calls, [
    ["work", 100, 64],
    ["guest", 100, 0, 100],
  ]);
  assert.deepEqual(row().spec, { ...spec, diskBytes: 100 * mib });
});

test("CPUs and memory are the next machine's; what it has already waits for nothing", async () => {
  await running();
  assert.deepEqual(await set({ vcpus: 2, memoryMib: 256 }), ["vcpus", "memoryMib"]);
  assert.deepEqual(await set({ vcpus: 1 }), ["memoryMib"]);
  assert.deepEqual(row().spec, { ...spec, memoryMib: 256 });
  assert.deepEqual(calls, []);
});

test("a machine that does not grow its disk leaves the record as it was", async () => {
  await running((step) => {
    if (step === "disk") throw new BangerError("vmm.failed", "no");
  });
  await assert.rejects(set({ vcpus: 4, diskBytes: 100 * mib }), { code: "vmm.failed" });
  assert.deepEqual(row().spec, spec);
});

test("a machine that another verb ends meanwhile is the reason", async () => {
  await running((step) => {
    const session = home.context.sessions.get(vmId);
    assert.ok(session);
    session.ending = true;
    if (step === "disk") throw new BangerError("vmm.failed", "the VMM is gone");
  });
  const why = { code: "cancelled", message: 'VM "box" was ended while its disk grew' };
  await assert.rejects(set({ diskBytes: 100 * mib }), why);
  assert.deepEqual(row().spec, spec);
});

test("a guest that cannot grow now does at its next start, and so does one that is broken", async () => {
  await running((step) => {
    if (step === "guest") throw new BangerError("guest.failed", "operation not supported");
  });
  assert.deepEqual(await set({ diskBytes: 100 * mib }), ["diskBytes"]);
  home.context.state.vms.update(vmId, { state: "broken" });
  assert.deepEqual(await set({ overlayBytes: 100 * mib }), ["overlayBytes"]);
  assert.deepEqual(row().spec, { ...spec, diskBytes: 100 * mib, overlayBytes: 100 * mib });
});

test("less, nonsense and a paused VM are refused before anything changes", async () => {
  await running();
  for (const change of [{ diskBytes: 63 * mib }, { overlayBytes: 0 }, { vcpus: 0 }, { memoryMib: 1 }]) {
    await assert.rejects(set({ diskBytes: 100 * mib, ...change }), { code: "vm.spec-invalid" });
  }
  home.context.state.vms.update(vmId, { state: "paused" });
  await assert.rejects(set({ vcpus: 2 }), { code: "vm.wrong-state", hint: "banger vm resume box" });
  assert.deepEqual([calls, row().spec], [[], spec]);
});

test("disks of a VM at rest grow in their files; one that is larger already is recorded as it is", async () => {
  home.addRunning("box");
  home.context.sessions.drop(vmId);
  home.context.state.vms.update(vmId, { state: "stopped", spec });
  const path = (serial: "overlay" | "work") => vmDisk(home.context.paths, row(), serial).path;
  truncateSync(path("work"), 200 * mib);
  assert.deepEqual(await set({ diskBytes: 100 * mib, overlayBytes: 100 * mib, vcpus: 3 }), []);
  assert.deepEqual(row().spec, { ...spec, vcpus: 3, diskBytes: 200 * mib, overlayBytes: 100 * mib });
  assert.deepEqual([statSync(path("work")).size, statSync(path("overlay")).size], [200 * mib, 100 * mib]);
});
