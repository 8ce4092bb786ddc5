// Medians, percentiles and turns.
import assert from "node:assert/strict";
import { test } from "node:test";
import { interleave, summarise, summariseNamed } from "./statistics.ts";

test("the median of an even number of values lies between the two in the middle", () => {
  assert.deepEqual(summarise([4, 1, 3, 2]).median, 2.5);
  assert.equal(summarise([9, 1, 5]).median, 5);
});

test("percentiles are interpolated", () => {
  const { p10, p90, rounds } = summarise(Array.from({ length: 11 }, (_, index) => index * 10));
  assert.deepEqual({ p10, p90, rounds }, { p10: 10, p90: 90, rounds: 11 });
  assert.deepEqual(summarise([7]), { rounds: 1, median: 7, p10: 7, p90: 7 });
});

test("nothing has no median", () => {
  assert.throws(() => summarise([]), /nothing was measured/);
});

test("named values are summed up by name, in the order in which they came", () => {
  const summary = summariseNamed([
    [
      ["spawn", 1],
      ["load", 10],
    ],
    [
      ["spawn", 3],
      ["load", 20],
      ["extra", 5],
    ],
  ]);
  assert.deepEqual(
    Object.entries(summary).map(([name, { median, rounds }]) => [name, median, rounds]),
    [
      ["spawn", 2, 2],
      ["load", 15, 2],
      ["extra", 5, 1],
    ],
  );
});

test("sides are taken in turns, in the other order each round, after one turn that is not counted", async () => {
  const turns: string[] = [];
  const side = (name: string, value: number) => async () => {
    turns.push(name);
    return value;
  };
  const values = await interleave<{ a: number; b: number }>(2, { a: side("a", 1), b: side("b", 2) });
  assert.equal(turns.join(""), "baabba");
  assert.deepEqual(values, { a: [1, 1], b: [2, 2] });
});
