// What people write for forwards.
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { test } from "node:test";
import { BangerError } from "../lib/errors.ts";
import { parseForward } from "./forward-spec.ts";

test("all forms are read", () => {
  for (const [text, listen, target] of [
    ["80", undefined, "80"],
    ["/run/app.sock", undefined, "/run/app.sock"],
    ["8080:80", "8080", "80"],
    ["0:80", "0", "80"],
    ["127.0.0.1:8080:80", "127.0.0.1:8080", "80"],
    ["[::1]:8080:80", "[::1]:8080", "80"],
    ["/tmp/a.sock:80", "/tmp/a.sock", "80"],
    ["./a.sock:80", resolve("a.sock"), "80"],
    ["/tmp/a.sock:/run/b.sock", "/tmp/a.sock", "/run/b.sock"],
    ["127.0.0.1:8080:/run/b.sock", "127.0.0.1:8080", "/run/b.sock"],
  ] as const) {
    assert.deepEqual(parseForward(text), listen === undefined ? { target } : { listen, target }, text);
  }
});

test("what is none of them is refused", () => {
  for (const text of [
    "",
    "http",
    "80:",
    ":80",
    "8080:80/tcp",
    "99999:80",
    "80:0",
    "example.com:80:80",
    "a.sock:80",
    "80:run/b.sock",
  ]) {
    assert.throws(
      () => parseForward(text),
      (error) => error instanceof BangerError && error.code === "usage" && error.message.includes(`"${text}"`),
      text,
    );
  }
});
