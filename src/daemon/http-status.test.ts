// Each error code has a fitting status.
import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodes } from "../lib/errors.ts";
import { httpStatus } from "./http-status.ts";

test("statuses of error codes", () => {
  for (const code of errorCodes) {
    const status = httpStatus(code);
    assert.ok(status >= 400 && status < 600, code);
    if (code.endsWith(".not-found")) assert.equal(status, 404, code);
  }
  assert.deepEqual(
    (["internal", "image.in-use", "kernel.exists", "config.invalid", "vm.boot-failed"] as const).map(httpStatus),
    [500, 409, 409, 400, 500],
  );
});
