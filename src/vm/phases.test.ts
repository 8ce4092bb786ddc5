// The clock of a start.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PhaseClock } from "./phases.ts";

test("phases follow one another without a gap, and make up the total", () => {
  const clock = new PhaseClock();
  clock.end("spawn", 10);
  clock.end("load", 12.34);
  clock.end("resume", 11);
  clock.end("hello", 20);
  const { phases, totalMs, kind, reason } = clock.record("template");
  assert.deepEqual(phases, [
    { name: "spawn", ms: 10 },
    { name: "load", ms: 2.3 },
    { name: "resume", ms: 0 },
    { name: "hello", ms: 7.7 },
  ]);
  assert.deepEqual([totalMs, kind, reason], [20, "template", ""]);
});

test("an attempt that failed becomes one phase, with the time since", () => {
  const clock = new PhaseClock();
  clock.end("prepare", 5);
  const from = clock.count;
  clock.end("spawn", 7);
  clock.end("load", 9);
  clock.fold(from, "failed restore");
  const { phases, totalMs } = clock.record("cold", "why");
  assert.deepEqual(
    phases.map(({ name }) => name),
    ["prepare", "failed restore"],
  );
  assert.ok(Math.abs(totalMs - phases.reduce((sum, { ms }) => sum + ms, 0)) < 0.2);
});
