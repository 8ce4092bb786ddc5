// Free blocks of an image: which are taken first, and that none is given away twice.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fuzz } from "../../lib/testdata/fuzz.ts";
import { FreeRuns } from "./free-runs.ts";

test("what was freed last is taken first, if it is long enough", () => {
  const free = new FreeRuns();
  free.add(100, 10);
  free.add(200, 12);
  free.add(300, 9);
  assert.equal(free.take(10), 200);
  assert.equal(free.take(10), 100);
  assert.equal(free.take(10), undefined);
  assert.equal(free.take(9), 300);
  // What was left of the first.
  assert.equal(free.take(2), 210);
});

test("neighbours that are freed one after the other become one", () => {
  const free = new FreeRuns();
  for (let first = 50; first < 80; first += 3) free.add(first, 3);
  assert.equal(free.take(30), 50);
  assert.equal(free.take(1), undefined);
});

test("a large file takes the longest piece, and no short ones", () => {
  const free = new FreeRuns();
  free.add(1000, 300);
  free.add(2000, 700);
  free.add(5000, 100);
  assert.deepEqual(free.takeLargest(256, 10_000), { first: 2000, blocks: 700 });
  assert.deepEqual(free.takeLargest(256, 280), { first: 1000, blocks: 280 });
  assert.equal(free.takeLargest(256, 280), undefined);
});

fuzz("blocks are given away once", 200, (random) => {
  const free = new FreeRuns();
  const owned = new Set<number>();
  let given: { first: number; blocks: number }[] = [];
  let end = 0;
  for (let step = 0; step < 300; step++) {
    if (given.length > 0 && random(2) === 0) {
      const [run] = given.splice(random(given.length), 1);
      if (run === undefined) continue;
      for (let block = run.first; block < run.first + run.blocks; block++) owned.delete(block);
      free.add(run.first, run.blocks);
      continue;
    }
    const blocks = 1 + random(random(8) === 0 ? 1000 : 20);
    const part = random(5) === 0 ? free.takeLargest(256, blocks) : undefined;
    const first = part?.first ?? free.take(blocks) ?? end;
    const run = part ?? { first, blocks };
    if (first === end) end += run.blocks;
    for (let block = run.first; block < run.first + run.blocks; block++) {
      assert.ok(!owned.has(block) && block < end, `block ${block}`);
      owned.add(block);
    }
    given = [...given, run];
  }
});
