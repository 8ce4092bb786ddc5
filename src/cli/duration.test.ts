// Spans of time as people write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDuration } from "./duration.ts";

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
