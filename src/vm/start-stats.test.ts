// What is told about the last starts.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { StartKind, StartRecord } from "../api/records.ts";
import { silentLogger } from "../lib/log.ts";
import { StartLog, summarize } from "./start-stats.ts";

const start = (kind: StartKind, totalMs: number, ...phases: [string, number][]): StartRecord => ({
  ...{ kind, totalMs, reason: "", at: 0 },
  phases: phases.map(([name, ms]) => ({ name, ms })),
});

test("kinds come in a fixed order, each with its quantiles and the medians of its phases", () => {
  const restored = Array.from({ length: 20 }, (_, index) => start("template", index + 1, ["spawn", index]));
  const { starts } = summarize([...restored, start("cold", 3000, ["boot", 2000]), start("template", 500, ["late", 1])]);
  assert.deepEqual(
    starts.map(({ kind, count, p50Ms, p95Ms }) => ({ kind, count, p50Ms, p95Ms })),
    [
      { kind: "cold", count: 1, p50Ms: 3000, p95Ms: 3000 },
      { kind: "template", count: 21, p50Ms: 11, p95Ms: 20 },
    ],
  );
  assert.deepEqual(starts[1]?.phases, [
    { name: "spawn", p50Ms: 9 },
    { name: "late", p50Ms: 1 },
  ]);
  assert.deepEqual(summarize([]), { starts: [] });
});

test("a start is in the statistics at once, and is written when the log is let go of", () => {
  const written: StartRecord[] = [];
  const table = { add: (record: StartRecord) => void written.unshift(record), list: () => written };
  {
    using log = new StartLog(table, silentLogger);
    log.add(start("cold", 1));
    assert.equal(written.length, 0);
    assert.equal(log.stats().starts[0]?.count, 1);
    log.add(start("cold", 2));
  }
  assert.deepEqual(
    written.map(({ totalMs }) => totalMs),
    [2, 1],
  );
});

test("a table that cannot be written costs the statistics, and nothing else", () => {
  const warnings: string[] = [];
  const add = () => {
    throw new Error("disk full");
  };
  const log = new StartLog({ add, list: () => [] }, { ...silentLogger, warn: (text) => void warnings.push(text) });
  log.add(start("cold", 1));
  assert.deepEqual(log.stats(), { starts: [] });
  assert.deepEqual(warnings, ["starts could not be recorded"]);
});
