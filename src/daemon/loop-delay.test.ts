// What blocks the event loop is measured, and only when that is asked for.
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import { measureLoopDelay } from "./loop-delay.ts";

test("what blocks the event loop is measured when that is asked for", async () => {
  assert.equal(measureLoopDelay({}), undefined);
  using delay = measureLoopDelay({ BANGER_DEBUG_LOOP: "1" });
  assert.ok(delay !== undefined);
  await setImmediate();
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
  assert.ok(delay.longestMs() >= 50, `${delay.longestMs()}`);
  assert.ok(delay.longestBusyMs() > 0);
  assert.ok(delay.longestOwnMs() > 0 && delay.longestOwnMs() <= delay.longestMs());
});
