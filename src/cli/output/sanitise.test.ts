// What is shown of text that would move the cursor or hide things.
import assert from "node:assert/strict";
import { test } from "node:test";
import { printable, printableJson, printableLine } from "./sanitise.ts";

test("control characters become visible, newlines and tabs stay", () => {
  assert.equal(printable("a\x1b[31mred\x07\n\tb\r\x7f\x9b"), "a\\x1b[31mred\\x07\n\tb\\x0d\\x7f\\u009b");
  assert.equal(printable("grün 日本 🙂"), "grün 日本 🙂");
  assert.equal(printable("evil\u202etxt.exe"), "evil\\u202etxt.exe");
});

test("one line stays one line", () => {
  assert.equal(printableLine("a\nb\tc\x1b]0;x\x07"), "a\\nb\\tc\\x1b]0;x\\x07");
});

test("JSON keeps its meaning and holds no raw control character", () => {
  const value = { text: "\x1b[2J\u009b\u202e", other: ["\x7f"] };
  for (const text of [printableJson(value), printableJson(value, 0)]) {
    assert.deepEqual(JSON.parse(text), value);
    assert.match(text, /^[\n\x20-\x7e]*$/);
  }
  assert.ok(!printableJson(value, 0).includes("\n"), "one line");
});
