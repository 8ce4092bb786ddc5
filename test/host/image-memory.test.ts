// What large and hostile images cost is bounded: memory does not grow with what a bomb unpacks to, and disk not with its holes.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import type { MemoryRun } from "../support/image-memory.ts";

const script = join(import.meta.dirname, "../support/image-memory.ts");

function run(...args: string[]): MemoryRun {
  const ran = spawnSync(process.execPath, [script, ...args], { encoding: "utf8" });
  assert.equal(ran.status, 0, ran.stderr);
  return JSON.parse(ran.stdout) as MemoryRun;
}

// A process that builds an image of one file takes some 120 MiB.
const cases: readonly [what: string, args: string[], error: RegExp, peakMib: number, imageMib: number][] = [
  ["a gzip bomb of 512 MiB", ["gzip", "512"], /^$/, 300, 10],
  ["a zstd bomb of 512 MiB", ["zstd", "512"], /^$/, 300, 10],
  ["a bomb of more than is allowed", ["gzip", "512", "64"], /layer "bomb", entry "zeros".*larger than/, 300, 10],
  ["a thousand layers", ["layers", "1000"], /^$/, 300, 10],
  ["50,000 entries", ["entries", "50000"], /^$/, 350, 100],
  ["sparse files of scattered bytes", ["sparse", "2", "64"], /entry "s0".*take more than 67108864 bytes/, 400, 100],
];
for (const [what, args, error, peakMib, imageMib] of cases) {
  test(what, () => {
    const took = run(...args);
    assert.match(took.error, error);
    assert.ok(took.peakMib < peakMib, `${took.peakMib} MiB of memory`);
    assert.ok(took.imageMib < imageMib, `${took.imageMib} MiB of disk`);
  });
}
