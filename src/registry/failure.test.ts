// Words of strangers in our errors: bounded, and without what a terminal would act on.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { get } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { connectionFailure, errorWords, plainWords } from "./failure.ts";
import { retryAfterMs } from "./retry.ts";

test("the error words of a registry are read, cleaned and bounded", () => {
  const words = (body: unknown) => errorWords(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)));
  assert.equal(words({ errors: [{ code: "DENIED", message: "no" }, { code: "X" }] }), "DENIED: no; X");
  assert.equal(words({ details: "incorrect username or password" }), "incorrect username or password");
  assert.equal(words({ errors: [{ code: "A", message: "x\u001b[31m\r\n\u202ey" }] }), "A: x [31m y");
  assert.ok((words({ errors: [{ message: "z".repeat(100_000) }] })?.length ?? 0) <= 301);
  for (const body of ["", "<html>", "null", "[]", "7", "{}", '{"errors":[null,1,{}]}', '{"errors":{}}']) {
    assert.equal(words(body), undefined, body);
  }
  assert.equal(plainWords("a\0b"), "a b");
});

test("a server of plain HTTP is said to be one", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  try {
    const [thrown] = (await once(get(`https://127.0.0.1:${(server.address() as AddressInfo).port}/`), "error")) as [
      Error,
    ];
    const error = connectionFailure("plain:5000", thrown);
    assert.deepEqual(
      [error.code, error.message, error.cause],
      ["registry.unreachable", 'cannot connect to "plain:5000": it does not speak HTTPS', undefined],
    );
    assert.match(error.hint ?? "", /--insecure/);
  } finally {
    server.close();
  }
});

test("only a certificate of nobody known is helped by another authority", () => {
  const hint = (code: string) => connectionFailure("host", Object.assign(new Error("no"), { code })).hint ?? "";
  for (const code of [
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  ]) {
    assert.match(hint(code), /NODE_EXTRA_CA_CERTS/, code);
  }
  for (const code of ["CERT_HAS_EXPIRED", "ERR_TLS_CERT_ALTNAME_INVALID"]) assert.equal(hint(code), "", code);
});

test("Retry-After is seconds or a date", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  assert.equal(retryAfterMs("3", now), 3000);
  assert.equal(retryAfterMs("Thu, 01 Jan 2026 00:00:10 GMT", now), 10_000);
  assert.equal(retryAfterMs("Wed, 31 Dec 2025 00:00:10 GMT", now), 0);
  assert.equal(retryAfterMs("soon", now), 0);
  assert.equal(retryAfterMs("-3", now), 0);
  assert.equal(retryAfterMs(undefined, now), 0);
});
