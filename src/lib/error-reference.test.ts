// The page of error codes is whole and current.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { errorReference } from "./error-reference.ts";
import { errorCodes } from "./errors.ts";

test("docs/errors.md is current and has every code, in the order of the list", () => {
  const page = readFileSync(join(import.meta.dirname, "../../docs/errors.md"), "utf8");
  assert.equal(page, errorReference(), "write it again: node scripts/error-docs.ts");
  const listed = [...page.matchAll(/^\| `([a-z.-]+)`/gm)].map(([, code]) => code);
  assert.deepEqual(listed, [...errorCodes]);
});
