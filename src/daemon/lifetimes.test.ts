// VMs end when their time is over: by age, by idleness, not while they are used, and again after a failure.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { Lifetime, VmRecord } from "../api/records.ts";
import { BangerError } from "../lib/errors.ts";
import { silentLogger } from "../lib/log.ts";
import { Activity } from "../vm/activity.ts";
import { Lifetimes } from "./lifetimes.ts";
import { Operations } from "./operations.ts";
import type { Vms } from "./services.ts";
import { memoryStore } from "./testdata/memory-store.ts";

const hour = 3_600_000;

/** A house with one VM, made now. Time is the mock's. */
function house(lifetime: Partial<Lifetime>, change: Partial<VmRecord> = {}) {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  const made = { ttlMs: null, idleTimeoutMs: null, action: "stop" as const, ...lifetime };
  const times = { createdAt: Date.now(), startedAt: Date.now(), lastUsedAt: null };
  let vm = { id: "v1", name: "web", state: "running", lifetime: made, ...times, ...change } as VmRecord;
  const done: string[] = [];
  const failures: BangerError[] = [];
  let changed = (_id: string) => {};
  const reasons: unknown[] = [];
  const verb =
    (name: string, state: VmRecord["state"]) => async (_ref: string, _progress: unknown, options: unknown) => {
      done.push(name);
      if (name === "stop") reasons.push(options);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      vm = { ...vm, state };
      changed(vm.id);
      return vm;
    };
  const activity = new Activity();
  const vms = {
    activity,
    list: () => [vm],
    show() {
      if (done.includes("delete")) throw new BangerError("vm.not-found", "gone");
      return vm;
    },
    ...{ stop: verb("stop", "stopped"), pause: verb("pause", "paused"), delete: verb("delete", "stopped") },
    onChange(listener: (id: string) => void) {
      changed = listener;
      return { [Symbol.dispose]() {} };
    },
  } as unknown as Vms;
  const operations = new Operations(memoryStore(), silentLogger);
  const lifetimes = new Lifetimes({ vms, operations, log: silentLogger });
  /** Lets time pass, a minute at a time, as the longest wait is one. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 60_000) {
      mock.timers.tick(Math.min(left, 60_000));
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return {
    ...{ done, failures, activity, pass, reasons },
    set: (other: Partial<VmRecord>) => {
      vm = { ...vm, ...other };
      changed(vm.id);
    },
    [Symbol.dispose]() {
      lifetimes[Symbol.dispose]();
      mock.timers.reset();
    },
  };
}

test("a VM is stopped when it is old enough, used or not", async () => {
  using one = house({ ttlMs: 2 * hour });
  using _use = one.activity.begin("v1");
  await one.pass(2 * hour - 1000);
  assert.deepEqual(one.done, []);
  await one.pass(2000);
  assert.deepEqual(one.done, ["stop"]);
  assert.deepEqual(one.reasons, [{ reason: "its time is over (--ttl)" }]);
  await one.pass(hour);
  assert.deepEqual(one.done, ["stop"], "what is stopped is not stopped again");
});

test("an idle one is paused, counted from the end of its last use", async () => {
  using one = house({ idleTimeoutMs: hour, action: "pause" });
  await one.pass(hour / 2);
  const use = one.activity.begin("v1");
  await one.pass(3 * hour);
  assert.deepEqual(one.done, []);
  use[Symbol.dispose]();
  await one.pass(hour - 1000);
  assert.deepEqual(one.done, []);
  await one.pass(2000);
  assert.deepEqual(one.done, ["pause"]);
});

test("what was resumed has not been idle while it was paused", async () => {
  using one = house({ idleTimeoutMs: hour, action: "pause" });
  await one.pass(hour + 1000);
  await one.pass(5 * hour);
  one.set({ state: "running" });
  await one.pass(hour - 1000);
  assert.deepEqual(one.done, ["pause"]);
  await one.pass(2000);
  assert.deepEqual(one.done, ["pause", "pause"]);
});

test("idle time is no reason to end what does not run; age is one to delete it", async () => {
  using idle = house({ idleTimeoutMs: hour, action: "delete" }, { state: "stopped" });
  await idle.pass(5 * hour);
  assert.deepEqual(idle.done, []);
  idle[Symbol.dispose]();
  using old = house({ ttlMs: hour, action: "delete" }, { state: "stopped" });
  await old.pass(hour + 1000);
  assert.deepEqual(old.done, ["delete"]);
});

test("a VM that gets a lifetime later, and one that loses it", async () => {
  using one = house({});
  one.set({ lifetime: null });
  await one.pass(hour);
  one.set({ lifetime: { ttlMs: 2 * hour, idleTimeoutMs: null, action: "stop" } });
  await one.pass(hour / 2);
  one.set({ lifetime: null });
  await one.pass(2 * hour);
  assert.deepEqual(one.done, []);
});

test("a failure is tried again, but not at once", async () => {
  using one = house({ ttlMs: hour });
  one.failures.push(new BangerError("disk.full", "no room"));
  await one.pass(hour + 1000);
  assert.deepEqual(one.done, ["stop"]);
  await one.pass(30_000);
  assert.deepEqual(one.done, ["stop"]);
  await one.pass(60_000);
  assert.deepEqual(one.done, ["stop", "stop"]);
});
