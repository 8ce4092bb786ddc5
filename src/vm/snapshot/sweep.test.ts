// Sweeps beside each other: every verb that lets go of a snapshot begins one.
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "../../lib/log.ts";
import { exampleSnapshot } from "../../state/testdata/rows.ts";
import { snapshotFiles } from "../disk-files.ts";
import { sweepSnapshots } from "./sweep.ts";
import { type Harness, harness } from "./testdata/harness.ts";

let home: Harness;
beforeEach(async () => {
  home = await harness();
});
afterEach(() => home[Symbol.dispose]());

test("sweeps at the same time remove all that is not needed, and none fails", async () => {
  const { context } = home;
  const ids = ["a", "b", "c", "d"];
  for (const id of ids) {
    context.state.snapshots.insert(exampleSnapshot({ id, name: null, fingerprint: "f" }));
    mkdirSync(snapshotFiles(context.paths, id).dir);
    writeFileSync(snapshotFiles(context.paths, id).memoryFile, "memory");
  }
  const failures: unknown[] = [];
  const log = { ...silentLogger, error: (message: string, fields?: unknown) => failures.push([message, fields]) };
  const pin = context.pins.hold("c");
  await Promise.all([1, 2, 3].map(() => sweepSnapshots({ ...context, log })));
  assert.deepEqual(failures, []);
  assert.deepEqual(home.snapshotDirs(), ["c"]);
  pin[Symbol.dispose]();
  await Promise.all([1, 2].map(() => sweepSnapshots({ ...context, log })));
  assert.deepEqual([failures, home.snapshotDirs(), context.state.snapshots.list()], [[], [], []]);
});
