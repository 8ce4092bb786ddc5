// Sizes as the help writes them are sizes that the parser takes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAge, formatBytes, formatDuration, parseSize } from "./units.ts";

test("sizes", () => {
  const gib = 1024 ** 3;
  for (const [text, bytes] of [
    ["512M", gib / 2],
    ["4G", 4 * gib],
    ["4GiB", 4 * gib],
    ["512MiB", gib / 2],
    ["4KiB", 4096],
    ["1024", gib],
    ["0.5g", gib / 2],
  ] as const) {
    assert.equal(parseSize(text, "--memory"), bytes, text);
  }
  for (const text of ["", "lots", "-1G", "0", "4X", "1e9", "9999999999T"]) {
    assert.throws(() => parseSize(text, "--memory"), { code: "vm.spec-invalid", message: /--memory/ }, text);
  }
});

test("bytes, durations and ages for people", () => {
  assert.deepEqual([0, 1023, 1024, 1.25 * 1024 ** 3].map(formatBytes), ["0 B", "1023 B", "1.0 KiB", "1.3 GiB"]);
  assert.deepEqual([340, 2100, 185_000].map(formatDuration), ["340 ms", "2.1 s", "3 m 05 s"]);
  assert.deepEqual([3_599_999, 7_200_000, 86_399_999, 97_200_000].map(formatDuration), [
    "1 h 00 m",
    "2 h 00 m",
    "1 d 00 h",
    "1 d 03 h",
  ]);
  assert.equal(formatAge(0, 61_000), "1 min ago");
  assert.equal(formatAge(5, 5), "just now");
});
