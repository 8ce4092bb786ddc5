// The lock of a process: one holder among many, freed by its death.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { acquireProcessLock } from "./lock.ts";
import { startChild } from "./testdata/child.ts";

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "banger-lock-"));
  file = join(dir, "bangerd.lock");
});
afterEach(() => rmSync(dir, { recursive: true }));

test("one holder in a process; free again after dispose", () => {
  {
    using lock = acquireProcessLock(file);
    assert.ok(lock);
    assert.equal(acquireProcessLock(file), undefined);
    assert.equal(statSync(file).mode & 0o777, 0o600);
  }
  using again = acquireProcessLock(file);
  assert.ok(again);
});

test("exactly one of ten racing processes gets it, and its kill -9 frees it", async () => {
  const racers = Array.from({ length: 10 }, () => startChild("lock-racer.ts", file));
  try {
    for (const racer of racers) assert.equal(await racer.line(), "ready");
    for (const racer of racers) racer.process.stdin.write("go\n");
    const answers = await Promise.all(racers.map((racer) => racer.line()));
    assert.deepEqual(answers.toSorted(), ["held", ...Array.from({ length: 9 }, () => "refused")]);
    assert.equal(acquireProcessLock(file), undefined);
    await racers[answers.indexOf("held")]?.kill();
    using lock = acquireProcessLock(file);
    assert.ok(lock);
  } finally {
    await Promise.all(racers.map((racer) => racer.kill()));
  }
});

test("a lock file that is something else is an error, not a held lock", () => {
  writeFileSync(file, "something else\n".repeat(100));
  assert.throws(() => acquireProcessLock(file), { code: "state.unreadable" });
});
