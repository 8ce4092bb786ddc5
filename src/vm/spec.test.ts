// What a request becomes, and what is refused before anything is made.
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkName, resolveSpec } from "./spec.ts";

const gib = 1024 ** 3;
const host = { hostMemoryBytes: 4 * gib };
const defaults = { vcpus: 2, memoryMib: 1024, diskBytes: 8 * gib, overlayBytes: 8 * gib };

test("what is not asked for comes from the defaults", () => {
  assert.deepEqual(resolveSpec({}, defaults, host), defaults);
  assert.equal(resolveSpec({ vcpus: 1 }, defaults, host).vcpus, 1);
  assert.equal(resolveSpec({ diskBytes: 100 * 1024 * 1024 + 1 }, defaults, host).diskBytes, 101 * 1024 * 1024);
});

test("what cannot be is refused with the option's name", () => {
  for (const [request, words] of [
    [{ vcpus: 0 }, /--vcpu 0/],
    [{ vcpus: -1 }, /--vcpu/],
    [{ memoryMib: 0 }, /--memory 0/],
    [{ memoryMib: 8192 }, /more than this host has \(4\.0 GiB\)/],
    [{ diskBytes: 1024 }, /--disk-size/],
    [{ overlayBytes: 2 ** 52 }, /--system-overlay-size/],
  ] as const) {
    assert.throws(() => resolveSpec(request, defaults, host), { code: "vm.spec-invalid", message: words });
  }
});

test("names are DNS labels and are not normalised", () => {
  for (const name of ["a", "web-1", "0", "x".repeat(63)]) checkName(name);
  for (const name of ["", "A", "-a", "a-", "a_b", "a.b", "x".repeat(64), "../x", "a b"]) {
    assert.throws(() => checkName(name), { code: "vm.name-invalid" }, name);
  }
  assert.throws(() => checkName("My App!"), { hint: "banger vm create --name my-app" });
  assert.throws(() => checkName("Web", "banger vm rename box"), { hint: "banger vm rename box web" });
});
