// A hostile console cannot steer the terminal of whoever reads the error.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { consoleTail } from "./console-log.ts";

test("the tail is bounded and free of control characters", (t) => {
  const directory = mkdtempSync(join(tmpdir(), "banger-console-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, "console.log");
  assert.equal(consoleTail(file), "");
  writeFileSync(file, `${"x\n".repeat(100_000)}\x1b]0;owned\x07\x1b[31mred\x1b[0m\r\nlast\x00 \u009b31mline\n\n`);
  const lines = consoleTail(file).split("\n");
  assert.equal(lines.length, 15);
  assert.deepEqual(lines.slice(-2), ["red", "last line"]);
});
