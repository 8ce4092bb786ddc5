// Lines of keys in all the ways in which TOML lets one write them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { keyLines } from "./lines.ts";

const cases: Record<string, [string, Record<string, number>]> = {
  "plain keys, comments and blank lines": ["# c\n\na = 1\n\nb = 2 # c\n", { a: 3, b: 5 }],
  sections: ["a = 1\n[s]\nb = 2\n[ s.t ]\nc = 3\n", { a: 1, s: 2, "s.b": 3, "s.t": 4, "s.t.c": 5 }],
  "quoted and dotted keys": [
    '"a" = 1\ns.b = 2\n["q"]\n"x".y = 1\n',
    { a: 1, s: 2, "s.b": 2, q: 3, "q.x": 4, "q.x.y": 4 },
  ],
  "an inline table": ["\ns = { a = 1, b = 2 }\n", { s: 2, "s.a": 2, "s.b": 2 }],
  "values over several lines start where their key is": ["a = [\n  1,\n  2,\n]\nb = 1\n", { a: 1, b: 5 }],
  "text that looks like keys": ['a = """\n[s]\nb = 1\n"""\nc = "[t]"\n', { a: 1, c: 5 }],
  "an array of tables": ["[[s]]\na = 1\n[[s]]\na = 2\n", { s: 1, "s.0": 1, "s.0.a": 2, "s.1": 3, "s.1.a": 4 }],
  "a date": ["a = 2026-01-01\n", { a: 1 }],
  "no line end at the end, and CRLF": ["a = 1\r\nb = 2", { a: 1, b: 2 }],
  "an empty text": ["", {}],
};

for (const [name, [text, expected]] of Object.entries(cases)) {
  test(name, () => assert.deepEqual(Object.fromEntries(keyLines(text)), expected));
}
