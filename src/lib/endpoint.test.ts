// Endpoints: what is read is what is written, and nothing else is read.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatEndpoint, isLoopback, parseEndpoint } from "./endpoint.ts";
import { BangerError } from "./errors.ts";

test("endpoints are read and written", () => {
  for (const [text, written, loopback] of [
    ["80", "127.0.0.1:80", true],
    ["127.77.1.2:8080", "127.77.1.2:8080", true],
    ["0.0.0.0:65535", "0.0.0.0:65535", false],
    ["[::1]:80", "[::1]:80", true],
    ["[::]:80", "[::]:80", false],
    ["/run/a b.sock", "/run/a b.sock", true],
  ] as const) {
    const endpoint = parseEndpoint(text, "127.0.0.1");
    assert.deepEqual([formatEndpoint(endpoint), isLoopback(endpoint)], [written, loopback]);
  }
  assert.deepEqual(parseEndpoint("0", "127.0.0.1", { anyPort: true }), { host: "127.0.0.1", port: 0 });
});

test("what is none is refused", () => {
  const long = `/${"x".repeat(107)}`;
  for (const text of [
    "",
    "0",
    "65536",
    "-1",
    "8O",
    "80/tcp",
    "example.com:80",
    "1.2.3:80",
    ":80",
    "run/x.sock",
    "/a\0b",
    long,
  ]) {
    assert.throws(
      () => parseEndpoint(text, "127.0.0.1"),
      (error) => error instanceof BangerError && error.code === "usage",
      text,
    );
  }
});
