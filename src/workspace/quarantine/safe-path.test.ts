// Names that a hostile tree may hold, and what becomes of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { whyUnsafe, whyUnsafeLink } from "./safe-path.ts";

test("names that leave the tree or reach a git directory are refused", () => {
  for (const path of [
    "",
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/..",
    "./x",
    "a//b",
    "a/",
    ".git/hooks/post-checkout",
    ".GIT/config",
    "sub/.Git/config",
    ".git",
    "git~1/config",
    "GIT~1",
    ".git./config",
    ".git /config",
    ".git . ./config",
    ".git::$INDEX_ALLOCATION/config",
    ".g\u200cit/config",
    "\ufeff.git/config",
    ".gi\u202et/config",
    "a\\.git\\config",
    `${"d/".repeat(2500)}x`,
    "n".repeat(256),
  ]) {
    assert.notEqual(whyUnsafe(Buffer.from(path)), undefined, JSON.stringify(path));
  }
});

test("odd but harmless names pass", () => {
  for (const path of [
    "a",
    ".gitignore",
    ".gitattributes",
    ".github/workflows/ci.yml",
    "..a/...",
    "-dash",
    "quo'te\"\nnew line\t",
    "a\\b",
    "git",
    ".gitx",
    "git~10",
    "\u202eexe.txt",
    "n".repeat(255),
  ]) {
    assert.equal(whyUnsafe(Buffer.from(path)), undefined, JSON.stringify(path));
  }
  assert.equal(whyUnsafe(Buffer.from([0x66, 0xe9, 0xff])), undefined);
});

test("files that git reads must not be links", () => {
  assert.notEqual(whyUnsafeLink(Buffer.from(".gitmodules")), undefined);
  assert.notEqual(whyUnsafeLink(Buffer.from("sub/.GitAttributes")), undefined);
  assert.equal(whyUnsafeLink(Buffer.from("link")), undefined);
});
