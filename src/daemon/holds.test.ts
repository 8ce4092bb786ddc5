// VMs that live as long as somebody holds them.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { VmRecord } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { Holds } from "./holds.ts";
import { Operations } from "./operations.ts";
import type { Vms } from "./services.ts";
import { memoryStore } from "./testdata/memory-store.ts";

function house(waitMs?: number) {
  const records = new Map<string, VmRecord>();
  const deleted = Promise.withResolvers<string>();
  const vms = {
    list: () => [...records.values()],
    show(ref: string) {
      const record = records.get(ref);
      if (record === undefined) throw new BangerError("vm.not-found", ref);
      return record;
    },
    async delete(ref: string) {
      records.delete(ref);
      deleted.resolve(ref);
    },
  } as unknown as Vms;
  const operations = new Operations(memoryStore(), silentLogger);
  const holds = new Holds(operations, vms, silentLogger, waitMs);
  const create = (autoRemove: boolean, before: Promise<void> = Promise.resolve()) => {
    const operation = operations.start("vm.create", "", async () => {
      await before;
      const record = { id: "v1", name: "v1", autoRemove } as VmRecord;
      records.set("v1", record);
      return record;
    });
    holds.created(operation);
    return operation.id;
  };
  return { records, deleted: deleted.promise, operations, holds, create };
}

async function take(holds: Holds, reference: string) {
  const gone = new AbortController();
  const events = holds.hold(reference, { signal: gone.signal });
  assert.deepEqual(await events.next(), { value: { held: true }, done: false });
  return async () => {
    gone.abort();
    assert.equal((await events.next()).done, true);
    await holds.settled();
  };
}

test("the last holder takes the VM along", async () => {
  const { records, holds, create, operations } = house();
  const id = create(true);
  const [first, second] = [await take(holds, id), await take(holds, id)];
  await operations.ended(id);
  await first();
  assert.equal(records.size, 1);
  await second();
  assert.equal(records.size, 0);
});

test("a VM that is not autoRemove stays", async () => {
  const { records, holds, create, operations } = house();
  const id = create(false);
  const leave = await take(holds, id);
  await operations.ended(id);
  await leave();
  assert.equal(records.size, 1);
});

test("a holder that goes while the VM is being made: cancelled, and deleted when it was too late for that", async () => {
  const { records, holds, create } = house();
  const before = Promise.withResolvers<void>();
  const leave = await take(holds, create(true, before.promise));
  const left = leave();
  before.resolve();
  await left;
  assert.equal(records.size, 0);
});

test("held by name and by the operation that made it: the last of both takes it along", async () => {
  for (const first of ["operation", "name"]) {
    const { records, holds, create, operations } = house();
    const id = create(true);
    await operations.ended(id);
    const [byOperation, byName] = [await take(holds, id), await take(holds, "v1")];
    await (first === "operation" ? byOperation : byName)();
    assert.equal(records.size, 1, `gone with its ${first} still held`);
    await (first === "operation" ? byName : byOperation)();
    assert.equal(records.size, 0);
  }
});

test("held by name", async () => {
  const { records, holds, create, operations } = house();
  await operations.ended(create(true));
  await (
    await take(holds, "v1")
  )();
  assert.equal(records.size, 0);
  await assert.rejects(holds.hold("v2", { signal: AbortSignal.abort() }).next(), { code: "vm.not-found" });
  await assert.rejects(holds.hold("op-none", { signal: AbortSignal.abort() }).next(), { code: "operation.not-found" });
});

test("a VM that nobody comes to hold is deleted", async () => {
  const { deleted, create } = house(1);
  create(true);
  // The wait itself keeps no process alive.
  const alive = setInterval(() => {}, 1000);
  assert.equal(await deleted, "v1");
  clearInterval(alive);
});

test("a VM that was deleted meanwhile is no error", async () => {
  const { records, holds, create, operations } = house();
  const id = create(true);
  const leave = await take(holds, id);
  await operations.ended(id);
  records.clear();
  await leave();
});
