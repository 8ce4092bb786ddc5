// What a thread tells of its bytes is seen by whoever looks.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SharedProgress, tellBytes } from "./shared-progress.ts";

test("what is told is seen at the next look, once", () => {
  const seen: [number, number | null][] = [];
  using shared = new SharedProgress((done, total) => seen.push([done, total]));
  const bytes = tellBytes(shared.memory);
  shared.look();
  bytes(5, 2 ** 40);
  bytes(6, 2 ** 40);
  shared.look();
  shared.look();
  bytes(7, null);
  shared.look();
  assert.deepEqual(seen, [
    [6, 2 ** 40],
    [7, null],
  ]);
});

test("it looks by itself", async () => {
  const told = Promise.withResolvers<number>();
  using shared = new SharedProgress((done) => told.resolve(done));
  tellBytes(shared.memory)(3, 4);
  assert.equal(await told.promise, 3);
});
