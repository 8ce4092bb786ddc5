// The files in changelog/unreleased/ have the form that a release is made of.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { parseEntry, readEntries, releaseSection } from "../../scripts/changelog-entries.ts";
import { root } from "./source-files.ts";

test("every entry can be read", () => {
  readEntries(join(root, "changelog/unreleased"));
});

test("a section has its entries by kind", () => {
  const entries = [
    parseEntry("b.md", "Fixed: it ended too early\n"),
    parseEntry("a.md", "Added: a thing\n\nIt does\nmuch.\n\nAnd more.\n"),
  ];
  assert.equal(
    releaseSection("1.0.0", entries),
    "## 1.0.0\n\n### Added\n\n- a thing\n\n  It does\n  much.\n\n  And more.\n\n### Fixed\n\n- it ended too early\n",
  );
});

test("an entry of another form is refused", () => {
  for (const text of ["", "a thing\n", "Added: a thing.\n", "Better: a thing\n", "Added: a thing\nstory\n"]) {
    assert.throws(() => parseEntry("a.md", text), /changelog\/unreleased\/a\.md/, text);
  }
  assert.throws(() => parseEntry("A.md", "Added: a thing\n"));
});
