// What a request may say.
import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { test } from "node:test";
import { methods } from "../api/methods.ts";
import { checkParams, clientBuild, readParamsHeader } from "./request.ts";

const withHeaders = (headers: Record<string, string>) => ({ headers }) as unknown as IncomingMessage;

test("parameters are checked to the last field, which the error names", () => {
  const check = (params: unknown) => checkParams("vm.exec", methods["vm.exec"], params);
  assert.deepEqual(check({ vm: "a", argv: ["x"] }), { vm: "a", argv: ["x"] });
  for (const [params, field] of [
    [{ argv: [] }, "vm"],
    [{ vm: "", argv: [] }, "vm"],
    [{ vm: "a", argv: ["x", 5] }, "argv.1"],
    [{ vm: "a", argv: [], terminal: { columns: 0, rows: 1 } }, "terminal.columns"],
    [{ vm: "a", argv: [], cwd: "relative" }, "cwd"],
    [{ vm: "a", argv: [], extra: 1 }, "extra"],
  ] as const) {
    assert.throws(() => check(params), { code: "request.invalid", details: { method: "vm.exec", field } });
  }
  for (const params of [null, "text", 5, [], [{}]]) assert.throws(() => check(params), { code: "request.invalid" });
});

test("parameters in a header", () => {
  const encode = (text: string) => withHeaders({ "banger-params": Buffer.from(text).toString("base64url") });
  assert.deepEqual(readParamsHeader(encode('{"vm":"ä"}')), { vm: "ä" });
  assert.deepEqual(readParamsHeader(withHeaders({})), {});
  assert.throws(() => readParamsHeader(encode("{")), { code: "request.invalid" });
  assert.throws(() => readParamsHeader(encode(" ".repeat(1024 * 1024 + 1))), { code: "request.too-large" });
});

test("a client's build; nonsense is never newer than the daemon", () => {
  const build = (value: string) => clientBuild(withHeaders({ "banger-build": value }));
  assert.deepEqual(build("1.2.3 1700000000000"), { version: "1.2.3", builtAt: 1_700_000_000_000 });
  for (const value of ["", "1.2.3", "1.2.3 soon", "1.2.3 -5", "1.2.3 1e99", `1 ${"9".repeat(30)}`]) {
    assert.equal(build(value).builtAt, 0, value);
  }
});
