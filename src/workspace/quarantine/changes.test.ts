// git's list of differences: what passes and what does not, whatever git itself would have said.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BangerError } from "../../lib/errors.ts";
import { parseChanges } from "./changes.ts";

const id = "a".repeat(40);
const none = "0".repeat(40);
const line = (before: string, after: string, status: string, path: string) =>
  `:${before} ${after} ${before === "000000" ? none : id} ${after === "000000" ? none : id} ${status}\0${path}\0`;

test("files, modes and links are read", () => {
  const changes = parseChanges(
    Buffer.from(
      line("000000", "100644", "A", "a\nb") + line("100755", "000000", "D", "d/e") + line("100644", "120000", "T", "l"),
    ),
  );
  assert.deepEqual(
    changes.map(({ path, before, after }) => [String(path), before?.mode, after?.mode]),
    [
      ["a\nb", undefined, "100644"],
      ["d/e", "100755", undefined],
      ["l", "100644", "120000"],
    ],
  );
  assert.deepEqual(parseChanges(Buffer.alloc(0)), []);
});

test("what must not come to the host is refused", () => {
  const code = (text: string) => {
    try {
      parseChanges(Buffer.from(text));
    } catch (error) {
      return (error as BangerError).code;
    }
    return "";
  };
  for (const text of [
    line("000000", "100644", "A", "../x"),
    line("000000", "100644", "A", ".git/hooks/pre-commit"),
    line("100644", "000000", "D", "a/../../x"),
    line("000000", "160000", "A", "sub"),
    line("160000", "000000", "D", "sub"),
    line("000000", "040000", "A", "dir"),
    line("000000", "120000", "A", ".gitattributes"),
  ]) {
    assert.equal(code(text), "workspace.refused", text);
  }
  for (const text of [
    line("000000", "100644", "A", "x").slice(0, -1),
    `x${line("000000", "100644", "A", "x")}`,
    "\0\0",
  ]) {
    assert.equal(code(text), "workspace.failed", text);
  }
});
