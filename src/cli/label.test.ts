// What is a label, and what is refused before the daemon is asked.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseLabel } from "./label.ts";

test("KEY=VALUE, whatever is in the value, and what is wrong with others", () => {
  assert.deepEqual(parseLabel("owner=me=you"), ["owner", "me=you"]);
  assert.deepEqual(parseLabel("empty="), ["empty", ""]);
  for (const [text, words] of [
    ["owner", /label "owner" is not KEY=VALUE/],
    ["=x", /a key is 1 to 128/],
    ["bad key=1", /a key is 1 to 128/],
    ["-a=1", /at both ends/],
    [`${"k".repeat(129)}=1`, /1 to 128/],
    [`a=${"v".repeat(257)}`, /at most 256/],
    ["a=\x1b[31m", /no control characters/],
  ] as const) {
    assert.throws(() => parseLabel(text), { code: "usage", message: words }, text);
  }
});
