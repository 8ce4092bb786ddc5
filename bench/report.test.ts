// The table for people.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Measure } from "./measure.ts";
import { formatReport, passed } from "./report.ts";
import { summarise } from "./statistics.ts";

const host = { cpus: 2, node: "v24", accelerator: "tcg", loadBefore: 0.5, loadAfter: 1.25 };
const ratio: Measure = {
  name: "ours against theirs",
  value: 1.25,
  unit: "x",
  target: 1.2,
  sides: { ours: summarise([10]), theirs: summarise([8]) },
};
const memory: Measure = { name: "memory", value: 60, unit: "MiB", target: 60, sides: { all: summarise([60]) } };

test("a value that equals its target has reached it", () => {
  assert.equal(passed(memory), true);
  assert.equal(passed(ratio), false);
});

test("sides of a ratio are milliseconds, others have the unit of the value unless they say theirs", () => {
  const text = formatReport([ratio, memory, { ...memory, name: "other", sideUnit: "ms" }], host);
  assert.match(text, /^ours against theirs +1\.250 x +<= 1\.2 x +FAIL$/m);
  assert.match(text, /^memory +60\.0 MiB +<= 60 MiB +pass$/m);
  assert.match(text, /^theirs +8\.0 ms +8\.0 \.\. 8\.0 +1 +ours against theirs$/m);
  assert.match(text, /^all +60\.0 MiB .* memory$/m);
  assert.match(text, /^all +60\.0 ms .* other$/m);
});

test("sides of the same name belong to their measures", () => {
  const text = formatReport([ratio, { ...ratio, name: "again" }], host);
  assert.equal(text.split("\n").filter((line) => line.startsWith("ours ") && /\d ms/.test(line)).length, 2);
});

test("the noise of the machine is told", () => {
  assert.match(formatReport([], host), /2 CPUs, tcg, Node v24; load average 0\.50 before, 1\.25 after$/);
});
