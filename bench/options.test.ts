// What the words after `node bench/run.ts` mean.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseOptions } from "./options.ts";

const parse = (...args: string[]) => parseOptions(args, ["fork", "exec"], { json: "/j", home: "/h" });

test("without words all rows are measured", () => {
  assert.deepEqual({ ...parse() }, { only: [], rounds: 20, full: false, json: "/j", home: "/h", help: false });
});

test("rows are named with commas or one by one", () => {
  assert.deepEqual(parse("--only", "fork,exec").only, ["fork", "exec"]);
  assert.deepEqual(parse("--only", "fork", "--only", "exec").only, ["fork", "exec"]);
});

test("an unknown row names those that there are", () => {
  assert.throws(() => parse("--only", "forks"), /no row "forks": fork, exec/);
});

test("rounds are a whole number from 1 on", () => {
  assert.equal(parse("--rounds", "3").rounds, 3);
  for (const wrong of ["0", "-1", "1.5", "many"])
    assert.throws(() => parse(`--rounds=${wrong}`), /no number of rounds/);
});
