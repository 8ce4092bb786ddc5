// Name, id, or a prefix that fits only one.
import assert from "node:assert/strict";
import { test } from "node:test";
import { findVm } from "./reference.ts";

const rows = [
  { id: "aa11", name: "web" },
  { id: "aa22", name: "web-2" },
  { id: "bb33", name: "aa" },
];

test("exact names win over ids and prefixes", () => {
  assert.equal(findVm(rows, "web").id, "aa11");
  assert.equal(findVm(rows, "aa").id, "bb33");
  assert.equal(findVm(rows, "aa22").name, "web-2");
  assert.equal(findVm(rows, "b").name, "aa");
});

test("none and several", () => {
  assert.throws(() => findVm(rows, "zzz"), { code: "vm.not-found" });
  assert.throws(() => findVm(rows, "we"), { code: "vm.ambiguous", message: /web, web-2/ });
});
