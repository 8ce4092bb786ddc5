// Access control lists keep their meaning, from each of the forms that archives have; what is none is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { aclFromText, aclFromXattr } from "./acl.ts";

const stored = "01000000010006000200070 0e803000004000400100007002000 0400".replaceAll(" ", "");
const none = "ffffffff";
const xattr = `0200000001000600${none}02000700e803000004000400${none}10000700${none}20000400${none}`;

test("from extended attributes and from text, in any order", () => {
  assert.equal(aclFromXattr(Buffer.from(xattr, "hex"))?.toString("hex"), stored);
  const texts = [
    "user::rw-,user:1000:rwx,group::r--,mask::rwx,other::r--",
    "other::r--\nm::rwx\nuser:joe:rwx:1000\n# a comment\ngroup::r--\nu::rw-\n",
  ];
  for (const text of texts) assert.equal(aclFromText(text)?.toString("hex"), stored);
});

test("what the mode says already, and names that nobody can resolve, are left out", () => {
  assert.equal(aclFromText("user::rw-,group::r--,other::r--"), undefined);
  assert.equal(aclFromText("user::rw-,user:joe:rwx,group::r--,mask::rwx,other::r--"), undefined);
});

test("what is incomplete, double or of another form is refused", () => {
  const base = "user::rw-,group::r--,other::r--";
  for (const text of ["", "user::rw-", `${base},user:1:rwx`, `${base},mask::r--,mask::r--`, "user::rwz", "x"]) {
    assert.throws(() => aclFromText(text), /access control list/, text);
  }
  const change = (from: string, to: string) => Buffer.from(xattr.replace(from, to), "hex");
  for (const value of [
    Buffer.alloc(0),
    Buffer.alloc(5),
    change("02000000", "03000000"),
    change("0100060", "0100080"),
  ]) {
    assert.throws(() => aclFromXattr(value), /access control list/);
  }
  assert.throws(() => aclFromXattr(change("1000070", "4000070")), /impossible entry/);
});
