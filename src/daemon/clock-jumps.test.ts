// The wall clock of the host jumps: by hours ahead (the host slept, or its clock was wrong) or back. What is said in dates is
// looked at anew within a minute, and nothing ends too early. (Deadlines of verbs are timers, which do not see it.)
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import type { VmRecord } from "../api/records.ts";
import { silentLogger } from "../lib/log.ts";
import { Activity } from "../vm/activity.ts";
import { Lifetimes } from "./lifetimes.ts";
import { Operations } from "./operations.ts";
import type { Vms } from "./services.ts";
import { memoryStore } from "./testdata/memory-store.ts";

const hour = 3_600_000;
const minute = 60_000;

/** A VM that is to be stopped an hour after it was made, with a wall clock that only the test moves; timers are the mock's. */
function oneHourVm() {
  mock.timers.enable({ apis: ["setTimeout"] });
  const wall = { nowMs: 10 * hour };
  const ended: number[] = [];
  const lifetime = { ttlMs: hour, idleTimeoutMs: null, action: "stop" as const };
  let vm = { id: "v1", name: "web", state: "running", lifetime, createdAt: wall.nowMs } as VmRecord;
  let changed = (_id: string) => {};
  const vms = {
    activity: new Activity(),
    list: () => [vm],
    show: () => vm,
    stop: () => {
      ended.push(wall.nowMs);
      vm = { ...vm, state: "stopped" };
      changed(vm.id);
      return Promise.resolve(vm);
    },
    onChange(listener: (id: string) => void) {
      changed = listener;
      return { [Symbol.dispose]() {} };
    },
  } as unknown as Vms;
  const operations = new Operations(memoryStore(), silentLogger);
  const lifetimes = new Lifetimes({ vms, operations, log: silentLogger, now: () => wall.nowMs });
  return {
    wall,
    ended,
    /** Real time that passes; the wall clock goes with it. */
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= minute) {
        wall.nowMs += Math.min(left, minute);
        mock.timers.tick(Math.min(left, minute));
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
    [Symbol.dispose]() {
      lifetimes[Symbol.dispose]();
      mock.timers.reset();
    },
  };
}

test("a jump ahead: what is due by then ends within a minute", async () => {
  using vm = oneHourVm();
  await vm.pass(10 * minute);
  vm.wall.nowMs += 24 * hour;
  await vm.pass(minute);
  assert.equal(vm.ended.length, 1);
});

test("a jump back: nothing ends too early, and the end comes when the clock says so", async () => {
  using vm = oneHourVm();
  await vm.pass(30 * minute);
  vm.wall.nowMs -= hour;
  await vm.pass(89 * minute);
  assert.deepEqual(vm.ended, []);
  await vm.pass(2 * minute);
  assert.equal(vm.ended.length, 1);
});

test("a jump there and back within a minute changes nothing", async () => {
  using vm = oneHourVm();
  vm.wall.nowMs += 24 * hour;
  vm.wall.nowMs -= 24 * hour;
  await vm.pass(59 * minute);
  assert.deepEqual(vm.ended, []);
  await vm.pass(2 * minute);
  assert.equal(vm.ended.length, 1);
});

test("operations that were begun before a jump back are listed and end; history is not lost by it", async () => {
  mock.timers.enable({ apis: ["Date"], now: 10 * hour });
  try {
    const store = memoryStore();
    const operations = new Operations(store, silentLogger);
    const work = Promise.withResolvers<void>();
    const { id } = operations.start("vm.start", "web", () => work.promise);
    mock.timers.setTime(9 * hour);
    work.resolve();
    const ended = await operations.ended(id);
    assert.equal(ended.error, null);
    // It is stored in the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      new Operations(store, silentLogger).list().map((operation) => [operation.id, operation.done]),
      [[id, true]],
    );
  } finally {
    mock.timers.reset();
  }
});
