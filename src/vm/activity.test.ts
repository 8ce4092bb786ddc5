// What goes on in VMs is counted for each of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Activity } from "./activity.ts";

test("begins and ends are counted for each VM, each end once, and told", () => {
  const activity = new Activity();
  const told: [string, number][] = [];
  const listener = activity.listen((...one) => void told.push(one));
  const first = activity.begin("a");
  const second = activity.begin("a");
  activity.begin("b");
  assert.deepEqual([activity.open("a"), activity.open("b"), activity.open("c")], [2, 1, 0]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(activity.open("a"), 1);
  listener[Symbol.dispose]();
  second[Symbol.dispose]();
  assert.equal(activity.open("a"), 0);
  assert.deepEqual(told, [
    ["a", 1],
    ["a", 2],
    ["b", 1],
    ["a", 1],
  ]);
});
