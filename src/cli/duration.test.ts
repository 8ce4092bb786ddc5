// Spans of time as people write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { durationOption, lifetimes, parseDuration } from "./duration.ts";

test("what is a span of time, and what is not", () => {
  const good: [string, number][] = [
    ["30s", 30_000],
    ["45", 45_000],
    ["1h30m", 5_400_000],
    ["250ms", 250],
    ["2d", 172_800_000],
  ];
  for (const [text, ms] of good) assert.equal(parseDuration(text, "--ttl"), ms, text);
  for (const text of ["", "0", "-5s", "5 s", "h", "1h foo", "1.5h", "s30"]) {
    assert.throws(() => parseDuration(text, "--ttl"), { code: "usage", message: /--ttl/ }, text);
  }
});

test("an option's limits are in its words", () => {
  const { parse } = durationOption("ttl", "", lifetimes);
  assert.deepEqual([parse("1s"), parse("3660d")], [1000, 3660 * 86_400_000]);
  assert.throws(() => parse("999ms"), { code: "usage", message: '--ttl "999ms" is not possible: at least 1s' });
  assert.throws(() => parse("3661d"), { code: "usage", message: '--ttl "3661d" is not possible: at most 3660d' });
});
