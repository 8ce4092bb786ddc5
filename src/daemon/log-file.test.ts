// The daemon's log keeps within its bound while it is written.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openLogFile } from "./log-file.ts";

test("a long log is put aside, at its opening and later, and no line is lost meanwhile", () => {
  const directory = mkdtempSync(join(tmpdir(), "banger-log-"));
  const path = join(directory, "daemon.log");
  try {
    writeFileSync(path, "x".repeat(101));
    using log = openLogFile(path, 100);
    log.write("first\n");
    assert.equal(statSync(`${path}.1`).size, 101);
    assert.equal(readFileSync(path, "utf8"), "first\n");
    for (let line = 0; line < 100; line++) log.write(`line ${line}\n`);
    assert.ok(statSync(path).size + statSync(`${path}.1`).size < 250);
    assert.match(readFileSync(path, "utf8"), /line 99\n$/);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(directory).toSorted(), ["daemon.log", "daemon.log.1"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
