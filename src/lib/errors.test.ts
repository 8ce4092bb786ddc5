// Errors cross a wire and come out the same; what is not ours becomes "internal".
import assert from "node:assert/strict";
import { test } from "node:test";
import { BangerError, fromErrorBody, toBangerError, toErrorBody, type ErrorBody } from "./errors.ts";

test("an error keeps code, message, hint, details and causes over a wire", () => {
  const error = new BangerError("vm.not-found", 'there is no VM "x"', {
    hint: "banger vm list",
    details: { reference: "x" },
    cause: new Error("outer", { cause: new Error("inner") }),
    operation: "op-1",
  });
  const received = fromErrorBody(JSON.parse(JSON.stringify(toErrorBody(error))) as ErrorBody);
  assert.equal(received.code, "vm.not-found");
  assert.equal(received.hint, "banger vm list");
  assert.deepEqual(received.details, { reference: "x" });
  assert.equal(received.operation, "op-1");
  assert.deepEqual(toErrorBody(received), toErrorBody(error));
  assert.deepEqual(received.remoteCauses, ["outer", "inner"]);
});

test("a cause that the message already tells is not repeated", () => {
  const error = new BangerError("command.failed", "it failed: no such file", { cause: new Error("no such file") });
  assert.equal(toErrorBody(error).causes, undefined);
});

test("foreign errors are converted: a full disk, one that cannot be written to, no descriptor, an abort, a bug", () => {
  assert.equal(toBangerError(Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC" })).code, "disk.full");
  assert.equal(toBangerError(Object.assign(new Error("EROFS"), { code: "EROFS" })).code, "disk.read-only");
  assert.equal(toBangerError(Object.assign(new Error("EMFILE"), { code: "EMFILE" })).code, "host.open-files");
  assert.equal(toBangerError(new DOMException("aborted", "AbortError")).code, "cancelled");
  assert.equal(toBangerError(new TypeError("x is undefined")).code, "internal");
  assert.equal(toBangerError("a string").message, "a string");
});

test("a code that this build does not know becomes internal", () => {
  assert.equal(fromErrorBody({ code: "moon.full", message: "m" } as unknown as ErrorBody).code, "internal");
});
