// What a process has of its own in a mapped file. Of a VMM: test/vm/qemu-standby.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hasWrittenTo } from "./own-pages.ts";

test("a process that does not map the file, or is not there, is not trusted", async () => {
  assert.equal(await hasWrittenTo(process.pid, "/no such file"), true);
  assert.equal(await hasWrittenTo(2 ** 22 + 1, "/no such file"), true);
});
